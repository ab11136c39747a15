"""One operator per file, named after its verb."""
