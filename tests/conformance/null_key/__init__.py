"""Does a model whose unique key has a NULL keep its rows once each?"""
