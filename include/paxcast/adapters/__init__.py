"""One outside thing per file. Adapters know the core and the settings, never each other."""
