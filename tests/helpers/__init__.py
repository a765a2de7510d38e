"""What tests of more than one folder need: programs, endpoints, boards, toy worlds and runs in haste."""
