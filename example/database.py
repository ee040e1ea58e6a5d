"""Texts in Qdrant, a vector database, for example8.py: embedded in this program, or in a separate server.

Each text has its vector twice: as floats, and as bits, the signs of the floats, in a thirty-second of the room.
A search by bits is a rough one; its first results can be scored again by their floats.
"""

import numpy as np

COLLECTION = 'texts'
STAGES = ('float', 'binary', 'rescored')
CANDIDATES = 50
"""How many results a search by bits has that are scored again, and how many any search has."""


def bits_of(vectors):
    """The signs as zeros and ones, of the same shape; `dtype='ubinary'` has the server send them, eight in a byte."""
    return (vectors > 0).astype(np.float32)


class Database:
    """Texts, each with the question that it asks, in a collection that is made anew.

    `location` is ':memory:', a folder for the embedded database, or the URL of a server.
    """

    def __init__(self, bc, pairs, location):
        from qdrant_client import QdrantClient, models  # here, because nothing else needs it

        self.models = models
        is_folder = location != ':memory:' and '://' not in location
        self.client = QdrantClient(path=location) if is_folder else QdrantClient(location)
        vectors = bc.encode_document([text for text, _ in pairs])
        size = vectors.shape[1]
        if self.client.collection_exists(COLLECTION):
            self.client.delete_collection(COLLECTION)
        distance = models.Distance
        self.client.create_collection(
            COLLECTION,
            vectors_config={
                'float': models.VectorParams(size=size, distance=distance.COSINE),
                # Of zeros and ones the Manhattan distance is the Hamming distance.
                'bits': models.VectorParams(size=size, distance=distance.MANHATTAN, datatype=models.Datatype.UINT8),
            },
        )
        self.client.upload_collection(
            COLLECTION,
            ids=range(len(pairs)),
            vectors={'float': vectors, 'bits': bits_of(vectors)},
            payload=[{'text': text, 'question': question} for text, question in pairs],
            wait=True,
        )

    def search(self, vector, stage='float'):
        """Questions by their scores, the best first; those of bits are distances, so that the best has the least.

        `vector` is that of the query, [D].
        """
        bits = bits_of(vector).tolist()
        if stage == 'float':
            found = self.ask(query=vector.tolist(), using='float')
        elif stage == 'binary':
            found = self.ask(query=bits, using='bits')
        else:
            rough = self.models.Prefetch(query=bits, using='bits', limit=CANDIDATES)
            found = self.ask(prefetch=rough, query=vector.tolist(), using='float')
        best = {}
        for point in found.points:
            best.setdefault(point.payload['question'], point.score)
        return best

    def ask(self, **how):
        return self.client.query_points(COLLECTION, limit=CANDIDATES, **how)

    def close(self):
        self.client.close()
