"""The tests: a package, or else one of that name in site-packages is found first."""
