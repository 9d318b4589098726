"""A small world in which everything goes wrong by one seed, and a witness who knows what may become of a job."""
