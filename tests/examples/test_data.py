"""The data of the examples is what its README says."""

from __future__ import annotations

from collections import Counter

from example8 import FAQ, PARAPHRASES, PHRASINGS, read_faq, read_pairs
from topics import TEST, TOPICS, TRAIN, read


def test_there_are_as_many_sentences_of_each_topic_and_no_two_alike() -> None:
    (train, train_labels), (test, test_labels) = read(TRAIN), read(TEST)
    assert (len(train), len(test)) == (332, 108)
    assert Counter(train_labels + test_labels) == dict.fromkeys(range(len(TOPICS)), 110)
    assert len({sentence.lower() for sentence in train + test}) == 440


def test_a_sentence_is_not_cut_by_the_default_length() -> None:
    assert max(len(sentence.split()) for sentence in read(TRAIN)[0] + read(TEST)[0]) < 23


def test_every_question_of_the_faq_has_an_answer_and_is_asked_in_other_words() -> None:
    faq = read_faq(FAQ)
    assert len(faq) == 35
    assert all(faq.values())
    assert not any('\n## ' in answer for answer in faq.values())
    phrasings, paraphrases = read_pairs(PHRASINGS), read_pairs(PARAPHRASES)
    assert (len(phrasings), len(paraphrases)) == (75, 35)
    assert {question for _, question in phrasings} == {question for _, question in paraphrases} == set(faq)


def test_no_paraphrase_is_in_the_index_already() -> None:
    texts = [text.lower() for text, _ in read_pairs(PHRASINGS) + read_pairs(PARAPHRASES)]
    texts += [question.lower() for question in read_faq(FAQ)]
    assert len(set(texts)) == len(texts)
