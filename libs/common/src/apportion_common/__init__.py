"""What all five services share; it knows none of them."""
