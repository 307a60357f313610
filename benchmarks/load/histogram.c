/* Latencies in buckets of bounded relative width, after HdrHistogram. */
#include "load.h"

#include <string.h>

enum { SUB_COUNT = 1 << SUB_BITS, HALF = SUB_COUNT / 2 };
static const size_t BUCKETS = (size_t)(HISTOGRAM_POWERS + 2) << (SUB_BITS - 1);

static size_t bucket_of(uint64_t value) {
    if (value < SUB_COUNT) return (size_t)value;
    int power = 63 - __builtin_clzll(value) - (SUB_BITS - 1); /* 1 for SUB_COUNT itself */
    size_t bucket = (size_t)power * HALF + (size_t)(value >> power);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double middle_of(size_t bucket) {
    if (bucket < SUB_COUNT) return (double)bucket;
    size_t power = bucket / HALF - 1;
    uint64_t low = (uint64_t)(bucket - power * HALF) << power;
    return (double)low + (double)(((uint64_t)1 << power) - 1) / 2;
}

void histogram_record(Histogram *histogram, uint64_t value) {
    histogram->counts[bucket_of(value)]++;
    histogram->total++;
    histogram->sum += (double)value;
    if (value > histogram->largest) histogram->largest = value;
}

void histogram_add(Histogram *to, const Histogram *from) {
    for (size_t i = 0; i < BUCKETS; i++) to->counts[i] += from->counts[i];
    to->total += from->total;
    to->sum += from->sum;
    if (from->largest > to->largest) to->largest = from->largest;
}

double histogram_value(const Histogram *histogram, double share) {
    uint64_t rank = (uint64_t)(share * (double)histogram->total + 0.999999), seen = 0;
    if (rank < 1) rank = 1;
    if (rank >= histogram->total) return (double)histogram->largest;
    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += histogram->counts[i]) >= rank) {
            double middle = middle_of(i);
            return middle < (double)histogram->largest ? middle : (double)histogram->largest;
        }
    return (double)histogram->largest;
}

void histogram_json(const Histogram *histogram, Buffer *to) {
    static const struct {
        const char *name;
        double share;
    } wanted[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        buffer_format(to, "\"%s_us\": %.3f, ", wanted[i].name,
                      histogram_value(histogram, wanted[i].share) / 1000);
    buffer_format(to, "\"mean_us\": %.3f, \"max_us\": %.3f",
                  histogram->total ? histogram->sum / (double)histogram->total / 1000 : 0.0,
                  (double)histogram->largest / 1000);
}
