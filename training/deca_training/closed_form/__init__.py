"""What is learnt by solving equations, not by gradients: linear maps and directions, each fitted at once."""
