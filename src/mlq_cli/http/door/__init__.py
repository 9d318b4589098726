"""The door of the HTTP server: whatever comes in passes it before the app sees it, and each answer on its way out."""
