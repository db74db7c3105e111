"""Getting interactions and items from their source to a prepared data set."""
