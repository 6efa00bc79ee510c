// Workloads of a graph, or sparse matrix, in compressed rows (CSR): breadth-first search, PageRank, and a
// product with a vector. The graph of the first two is R-MAT's (Chakrabarti, Zhan, Faloutsos 2004): few nodes
// have most of the edges, as in graphs of people and pages. The matrix has 8 to 24 elements a row at places
// at random, all as likely, which is the worst for address translation. Either fills the working set.
#include "bench.h"
#include "random.h"
#include <math.h>

enum { EDGES_LEAST = 8, EDGES_MEAN = 16, NODES_LEAST = 64 };

static struct {
    uint64_t *first; // nodes + 1: where the edges of each begin
    uint32_t *to;
    size_t nodes, edges;
} graph;
static unsigned char *graph_free, *graph_end; // the working set's rest

static void *take(size_t bytes)
{
    void *taken = graph_free;
    graph_free += rounded_up(bytes, sizeof(uint64_t));
    return taken;
}

// A graph for which each node and each edge need so many bytes more. The edges come last, as many as there is
// room for, so what is beside them is taken before edges_make().
static void graph_begin(struct workload *own, size_t of_node, size_t of_edge)
{
    size_t row = sizeof *graph.first + of_node + EDGES_MEAN * (sizeof *graph.to + of_edge);
    graph_free = set_make(own);
    graph_end = graph_free + own->bytes;
    graph.nodes = own->bytes / row - EDGES_MEAN; // what is left out is for the rounding of what is taken
    if (own->bytes < NODES_LEAST * row || graph.nodes >= UINT32_MAX)
        fail("needs a working set from %zu KiB to %zu GiB", NODES_LEAST * row / 1024 + 1, row * 4);
    graph.first = take((graph.nodes + 1) * sizeof *graph.first);
}

static void edges_make(struct workload *own)
{
    uint64_t random = 1;
    size_t most = graph.nodes * EDGES_MEAN;
    graph.to = take(most * sizeof *graph.to);
    for (size_t node = 0; node < graph.nodes; node++) {
        size_t degree = EDGES_LEAST + random_place(random_next(&random), 2 * EDGES_LEAST + 1);
        graph.first[node] = graph.edges;
        for (size_t i = 0; i < degree && graph.edges < most; i++)
            graph.to[graph.edges++] = (uint32_t)random_place(random_next(&random), graph.nodes);
    }
    graph.first[graph.nodes] = own->operations = graph.edges;
}

// A bit of a node's number is 1 with a chance of 1/4: of two random ones both are. So an edge is in the four
// quarters of the matrix with 9, 3, 3 and 1 of 16, at each level (Graph500 has 0.57, 0.19, 0.19 and 0.05).
// Which node it is says nothing of how many edges it has: an odd factor gives each another number.
static size_t rmat_node(uint64_t random)
{
    return (random & random >> 32) * 0x9e3779b1u & (graph.nodes - 1);
}

// The edges of each node stand together, so they are made twice: once to be counted.
static void rmat_make(void)
{
    uint64_t random = 1, again = 1;
    graph.to = (uint32_t *)graph_free;
    graph.edges = (size_t)(graph_end - graph_free) / sizeof *graph.to;
    for (size_t e = 0; e < graph.edges; e++) {
        graph.first[rmat_node(random_next(&random))]++;
        random_next(&random);
    }
    for (size_t node = 1; node <= graph.nodes; node++)
        graph.first[node] += graph.first[node - 1];
    for (size_t e = 0; e < graph.edges; e++) {
        size_t from = rmat_node(random_next(&again));
        graph.to[--graph.first[from]] = (uint32_t)rmat_node(random_next(&again));
    }
}

// The largest power of two of nodes that leaves each EDGES_MEAN edges, and more edges for the rest.
static void rmat_begin(struct workload *own, size_t of_node)
{
    graph_begin(own, of_node, 0);
    while (graph.nodes & (graph.nodes - 1))
        graph.nodes &= graph.nodes - 1;
}

#define NOWHERE 0xfffffffeu // no byte again and again: libc's memset is another one on each processor
static uint32_t *bfs_distance, *bfs_queue;
static uint32_t bfs_root; // the node with most edges
static uint64_t bfs_sum;  // of the distances of all nodes that are reached

static size_t distances_begin(void)
{
    for (size_t node = 0; node < graph.nodes; node++)
        bfs_distance[node] = NOWHERE;
    bfs_distance[bfs_root] = 0;
    return 1;
}

// The slow way, without a queue: each round looks at all nodes for those that the last one reached.
static uint64_t distances_sum(void)
{
    uint64_t sum = 0;
    size_t found = distances_begin();
    for (uint32_t distance = 0; found; distance++) {
        found = 0;
        for (size_t node = 0; node < graph.nodes; node++)
            for (uint64_t e = graph.first[node]; bfs_distance[node] == distance && e < graph.first[node + 1];
                 e++)
                if (bfs_distance[graph.to[e]] == NOWHERE) {
                    bfs_distance[graph.to[e]] = distance + 1;
                    found++;
                }
        sum += found * (distance + 1);
    }
    return sum;
}

static uint64_t edges_of(size_t node)
{
    return graph.first[node + 1] - graph.first[node];
}

// Only what is reached is searched.
static unsigned long edges_reached(void)
{
    unsigned long edges = 0;
    for (size_t node = 0; node < graph.nodes; node++)
        edges += bfs_distance[node] == NOWHERE ? 0 : edges_of(node);
    return edges;
}

void bfs_setup(struct workload *own)
{
    rmat_begin(own, sizeof *bfs_distance + sizeof *bfs_queue);
    bfs_distance = take(graph.nodes * sizeof *bfs_distance);
    bfs_queue = take(graph.nodes * sizeof *bfs_queue);
    rmat_make();
    for (size_t node = 0; node < graph.nodes; node++)
        bfs_root = edges_of(node) > edges_of(bfs_root) ? (uint32_t)node : bfs_root;
    bfs_sum = distances_sum();
    own->operations = edges_reached();
}

void bfs_run(unsigned long iterations)
{
    while (iterations--) {
        uint64_t sum = 0;
        size_t end = distances_begin();
        bfs_queue[0] = bfs_root;
        for (size_t at = 0; at < end; at++) {
            uint32_t node = bfs_queue[at], distance = bfs_distance[node];
            sum += distance;
            for (uint64_t e = graph.first[node]; e < graph.first[node + 1]; e++)
                if (bfs_distance[graph.to[e]] == NOWHERE) {
                    bfs_distance[graph.to[e]] = distance + 1;
                    bfs_queue[end++] = graph.to[e];
                }
        }
        if (sum != bfs_sum)
            fail("the distances' sum is wrong");
    }
}

// The rows are the edges into a node: each takes its share of the rank of those that link to it.
#define DAMPING 0.85
static double *rank_now, *rank_share;
static uint32_t *rank_links; // out of each node

void pagerank_setup(struct workload *own)
{
    rmat_begin(own, sizeof *rank_now + sizeof *rank_share + sizeof *rank_links);
    rank_now = take(graph.nodes * sizeof *rank_now);
    rank_share = take(graph.nodes * sizeof *rank_share);
    rank_links = take(graph.nodes * sizeof *rank_links);
    rmat_make();
    own->operations = graph.edges;
    for (size_t e = 0; e < graph.edges; e++)
        rank_links[graph.to[e]]++;
    for (size_t node = 0; node < graph.nodes; node++)
        rank_now[node] = 1.0 / (double)graph.nodes;
}

// Each node's rank in equal shares for its links; returns the sum of what is handed on.
static double shares_make(void)
{
    double sum = 0;
    for (size_t node = 0; node < graph.nodes; node++) {
        rank_share[node] = rank_links[node] ? rank_now[node] / rank_links[node] : 0;
        sum += rank_links[node] ? rank_now[node] : 0;
    }
    return sum;
}

static double ranks_make(void)
{
    double sum = 0;
    for (size_t node = 0; node < graph.nodes; node++) {
        double taken = 0;
        for (uint64_t e = graph.first[node]; e < graph.first[node + 1]; e++)
            taken += rank_share[graph.to[e]];
        rank_now[node] = (1 - DAMPING) / (double)graph.nodes + DAMPING * taken;
        sum += rank_now[node];
    }
    return sum;
}

// Rank is neither lost nor made.
void pagerank_run(unsigned long iterations)
{
    while (iterations--) {
        double handed_on = shares_make();
        if (!(fabs(ranks_make() - (1 - DAMPING + DAMPING * handed_on)) < 1e-9))
            fail("the ranks' sum is wrong");
    }
}

static double *matrix_value, *vector_in, *vector_out; // whole numbers, so that sums are exact
static double product_sum;

// The slow way, by columns: what all rows together take of each number of the vector.
static double columns_sum(void)
{
    double sum = 0;
    for (size_t e = 0; e < graph.edges; e++)
        vector_out[graph.to[e]] += matrix_value[e];
    for (size_t node = 0; node < graph.nodes; node++)
        sum += vector_out[node] * vector_in[node];
    return sum;
}

void spmv_setup(struct workload *own)
{
    graph_begin(own, sizeof *vector_in + sizeof *vector_out, sizeof *matrix_value);
    vector_in = take(graph.nodes * sizeof *vector_in);
    vector_out = take(graph.nodes * sizeof *vector_out);
    matrix_value = take(graph.nodes * EDGES_MEAN * sizeof *matrix_value);
    edges_make(own);
    for (size_t e = 0; e < graph.edges; e++)
        matrix_value[e] = (double)(e % 7 + 1);
    for (size_t node = 0; node < graph.nodes; node++)
        vector_in[node] = (double)(node % 5 + 1);
    product_sum = columns_sum();
}

void spmv_run(unsigned long iterations)
{
    while (iterations--) {
        double sum = 0;
        for (size_t row = 0; row < graph.nodes; row++) {
            double out = 0;
            for (uint64_t e = graph.first[row]; e < graph.first[row + 1]; e++)
                out += matrix_value[e] * vector_in[graph.to[e]];
            vector_out[row] = out;
            sum += out;
        }
        if (sum != product_sum)
            fail("the product's sum is wrong");
    }
}
