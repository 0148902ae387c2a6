"""How does one pipeline wait for another one: by push, by poll, or by event, and what does the one that waits hold?"""
