// Workload of a data base's index: look-ups of keys at random in a B+-tree that fills the working set. Its
// nodes are four lines of a cache and lie scattered, so that no two on a path share a page. Each look-up's
// value is checked.
#include "bench.h"
#include "random.h"

enum { KEYS = 15, NODES_LEAST = 64 };
#define SCATTER  2654435761u // a prime: the order of nodes is a permutation
#define KEY_STEP 3           // so that there are keys between the tree's

struct node {
    uint64_t key[KEYS];
    union {
        struct node *child[KEYS + 1]; // child[i + 1] has the keys from key[i] on
        uint64_t value[KEYS];         // of a leaf
    };
    uint64_t keys;
};

static struct node *tree_nodes, *tree_root;
static size_t tree_room, tree_used, tree_keys;
static unsigned tree_levels; // above the leaves
static uint64_t tree_random = 1;

static uint64_t key_of(size_t index)
{
    return index * KEY_STEP + 1;
}

static uint64_t value_of(uint64_t key)
{
    return key * 0x9e3779b97f4a7c15;
}

// Where node number `index` lies, counted from the leaves up.
static struct node *node_of(size_t index)
{
    return &tree_nodes[index * SCATTER % tree_room];
}

static void leaf_make(size_t leaf)
{
    struct node *node = node_of(leaf);
    node->keys = KEYS;
    for (size_t i = 0; i < KEYS; i++) {
        node->key[i] = key_of(leaf * KEYS + i);
        node->value[i] = value_of(node->key[i]);
    }
}

// The nodes above `below` nodes that begin with number `first`; each of these holds `span` keys. Returns how
// many they are.
static size_t level_make(size_t first, size_t below, size_t span)
{
    size_t nodes = (below + KEYS) / (KEYS + 1);
    for (size_t n = 0; n < nodes; n++) {
        struct node *node = node_of(first + below + n);
        size_t child = n * (KEYS + 1), children = below - child < KEYS + 1 ? below - child : KEYS + 1;
        node->keys = children - 1;
        for (size_t i = 0; i < children; i++)
            node->child[i] = node_of(first + child + i);
        for (size_t i = 1; i < children; i++)
            node->key[i - 1] = key_of((child + i) * span);
    }
    return nodes;
}

void btree_setup(struct workload *own)
{
    tree_nodes = set_make(own);
    tree_room = own->bytes / sizeof *tree_nodes;
    if (tree_room < NODES_LEAST)
        fail("needs a working set of %zu KiB", NODES_LEAST * sizeof *tree_nodes / 1024);
    size_t nodes = tree_room / (KEYS + 1) * KEYS - KEYS, first = 0, span = KEYS; // the others are above them
    tree_keys = nodes * KEYS;
    for (size_t leaf = 0; leaf < nodes; leaf++)
        leaf_make(leaf);
    for (tree_levels = 0; nodes > 1; tree_levels++, span *= KEYS + 1) {
        size_t above = level_make(first, nodes, span);
        first += nodes;
        nodes = above;
    }
    tree_used = first + 1;
    if (tree_used > tree_room || tree_room % SCATTER == 0)
        fail("the tree does not fit its working set");
    tree_root = node_of(first);
}

static size_t keys_up_to(const struct node *node, uint64_t key)
{
    size_t count = 0;
    while (count < node->keys && node->key[count] <= key)
        count++;
    return count;
}

// 0: there is no such key.
static uint64_t look_up(uint64_t key)
{
    const struct node *node = tree_root;
    for (unsigned level = 0; level < tree_levels; level++)
        node = node->child[keys_up_to(node, key)];
    size_t count = keys_up_to(node, key);
    return count && node->key[count - 1] == key ? node->value[count - 1] : 0;
}

void btree_run(unsigned long iterations)
{
    while (iterations--) {
        uint64_t key = key_of(random_place(random_next(&tree_random), tree_keys));
        if (look_up(key) != value_of(key))
            fail("a key was not found in the tree");
    }
}
