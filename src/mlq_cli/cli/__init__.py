"""The command line. `main` knows the commands and imports the file of the one that is named; only this floor prints."""
