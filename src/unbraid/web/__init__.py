"""A private, local web page and HTTP API that separates songs: `unbraid serve`."""
