"""Language models as proposers: prompts, replies, the client, money."""
