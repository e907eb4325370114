"""Where traffic comes from: one source a file, each an implementation of `core.source.Source`."""
