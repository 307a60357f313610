/* Chance that a seed repeats: which key is next, and how long an answer takes. */
#include "load.h"

#include <math.h>

uint64_t random_next(Random *random) { /* splitmix64 */
    uint64_t z = (random->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double random_unit(Random *random) { return (double)(random_next(random) >> 11) * 0x1p-53; }

double random_normal(Random *random) { /* Box and Muller */
    double u = 1.0 - random_unit(random), v = random_unit(random);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* Gray et al., "Quickly generating billion-record synthetic databases", as YCSB has it. */
void zipf_init(Zipf *zipf, uint64_t count, double theta) {
    double zeta_2 = 1.0 + pow(0.5, theta);
    zipf->count = count;
    zipf->theta = theta;
    zipf->alpha = 1.0 / (1.0 - theta);
    zipf->zeta_n = 0;
    for (uint64_t i = 1; i <= count; i++) zipf->zeta_n += pow(1.0 / (double)i, theta);
    zipf->eta = (1.0 - pow(2.0 / (double)count, 1.0 - theta)) / (1.0 - zeta_2 / zipf->zeta_n);
}

uint64_t zipf_next(const Zipf *zipf, Random *random) {
    double u = random_unit(random), uz = u * zipf->zeta_n;
    if (uz < 1.0 || zipf->count == 1) return 0;
    if (uz < 1.0 + pow(0.5, zipf->theta) || zipf->count == 2) return 1;
    uint64_t rank =
        (uint64_t)((double)zipf->count * pow(zipf->eta * u - zipf->eta + 1.0, zipf->alpha));
    return rank < zipf->count ? rank : zipf->count - 1;
}
