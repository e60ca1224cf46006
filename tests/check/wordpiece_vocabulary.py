"""A WordPiece vocabulary (tokenizer.json) of the words and word ends of a text, on stdout.  SPDX-License-Identifier: Apache-2.0"""
import collections, json, re, sys

text = open(sys.argv[1], encoding='utf8').read().lower()
count = collections.Counter(re.findall(r'\w+|[^\w\s]', text))
words = [w for w, _ in count.most_common(4000)]
chars = sorted(set(''.join(words)))
ends = collections.Counter()
for w, n in count.items():
    for i in range(1, min(len(w), 6)):
        ends[w[-i:]] += n
special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
vocab = list(dict.fromkeys(special + chars + ['##' + c for c in chars] + words + ['##' + e for e, _ in ends.most_common(1500)]))
one = lambda name: {'SpecialToken': {'id': name, 'type_id': 0}}
json.dump({
    'added_tokens': [{'id': i, 'content': t, 'special': True} for i, t in enumerate(special)],
    'normalizer': {'type': 'BertNormalizer', 'lowercase': True, 'strip_accents': None},
    'pre_tokenizer': {'type': 'BertPreTokenizer'},
    'post_processor': {'type': 'TemplateProcessing', 'single': [one('[CLS]'), {'Sequence': {'id': 'A', 'type_id': 0}}, one('[SEP]')]},
    'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'vocab': {t: i for i, t in enumerate(vocab)}}}, sys.stdout)
