"""The worked example that `tallystick demo` plays: the order, and the figures that it must come to."""
