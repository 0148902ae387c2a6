"""Does one run start when the answer to the request for it is lost?"""
