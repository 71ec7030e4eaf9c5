"""A seed's life: planned, trained or taken over, kept, published."""
