"""What a trigger rule costs where it is emulated, and hides where it is not: states shown, and rules decided late."""
