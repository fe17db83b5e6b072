"""Music for training and validation: tracks, decoded caches, random mixtures, augmentation."""
