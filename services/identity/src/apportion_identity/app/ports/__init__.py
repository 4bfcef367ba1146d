"""What the use cases need of the world, by subject: ports, and the records that go through them."""
