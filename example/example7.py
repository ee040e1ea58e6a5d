"""What the layers and the pooling strategies see: pictures of the labeled sentences, by PCA in two dimensions.

    python example/example7.py -cpu
    python example/example7.py -cpu -model_dir uncased_L-12_H-768_A-12 -pooling_layer -1 -2 -4 -8 -12
    python example/example7.py -cpu -strategies REDUCE_MEAN -output_dir pictures

It starts servers of its own, on free ports, one after another: one for each strategy, with all the layers side by side
in its vectors. Beside -strategies and -output_dir it takes the options of `bert-serving-start`.
"""

import os

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestCentroid

import topics
from bert_serving.client import BertClient
from bert_serving.server import BertServer
from bert_serving.server.helper import get_args_parser

STRATEGIES = ['REDUCE_MEAN', 'REDUCE_MAX', 'CLS_TOKEN', 'SEP_TOKEN']  # those that make one vector of each layer
COLORS = ['#009e73', '#e69f00', '#0072b2', '#cc79a7']  # of the topics; told apart by most eyes
COLUMNS = 3


def encode_by_layer(args, strategy, sentences):
    """The vectors [N, H] of each layer, from a server with this strategy."""
    args.pooling_strategy = strategy
    args.port = args.port_out = 0
    with BertServer(args) as server, BertClient(port=server.port, port_out=server.port_out) as bc:
        return np.split(bc.encode(sentences), len(args.pooling_layer), axis=1)


def share_right(train, train_labels, test, test_labels):
    """How many test vectors lie nearest to the center of the training vectors of their own topic."""
    return NearestCentroid().fit(train, train_labels).score(test, test_labels)


def draw(path, strategy, layers, vectors, labels, shares):
    """A picture with a panel for each layer, in which each sentence is a point of its topic's color."""
    rows = -(-len(layers) // COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 3.4 * rows + 0.8), layout='constrained')
    figure.suptitle('%s: %d sentences by PCA' % (strategy, len(labels)))
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, layer, of_layer, share in zip(panels, layers, vectors, shares):
        pca = PCA(2)
        points = pca.fit_transform(of_layer)
        for number, (topic, color) in enumerate(zip(topics.TOPICS, COLORS)):
            panel.scatter(*points[labels == number].T, s=9, c=color, alpha=0.8, linewidths=0, label=topic)
        panel.set_axis_on()
        panel.set(xticks=[], yticks=[])
        panel.set_title('layer %d' % layer)
        panel.set_xlabel(
            '%.0f %% of variance, %.0f %% right' % (100 * pca.explained_variance_ratio_.sum(), 100 * share)
        )
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=len(names), markerscale=2)
    figure.savefig(path, dpi=110)


def main():
    parser = get_args_parser()
    parser.prog, parser.description = 'example7.py', __doc__.splitlines()[0]
    parser.examples = tuple(line.strip() for line in __doc__.splitlines() if line.startswith('    python '))
    parser.guide = 'docs/examples.md'
    parser.set_defaults(pooling_layer=[-1, -2, -3, -4, -5, -6])
    group = parser.add_argument_group('Example')
    group.add_argument('-strategies', nargs='+', choices=STRATEGIES, default=STRATEGIES, help='a picture for each')
    group.add_argument('-output_dir', default='.', help='folder for the pictures')
    args = parser.parse_args()

    train, train_labels = topics.read(topics.TRAIN)
    test, test_labels = topics.read(topics.TEST)
    labels = np.array(train_labels + test_labels)
    table = ['%-16s' % 'layer' + ''.join('%7d' % layer for layer in args.pooling_layer)]
    for strategy in args.strategies:
        vectors = encode_by_layer(args, strategy, train + test)
        shares = [share_right(v[: len(train)], train_labels, v[len(train) :], test_labels) for v in vectors]
        path = os.path.join(args.output_dir, 'pca-%s.png' % strategy.lower())
        draw(path, strategy, args.pooling_layer, vectors, labels, shares)
        print('wrote %s' % path)
        table.append('%-16s' % strategy + ''.join('%7.3f' % share for share in shares))
    print('share of the %d test sentences nearest to the center of their topic:' % len(test))
    print('\n'.join(table))


if __name__ == '__main__':
    main()
