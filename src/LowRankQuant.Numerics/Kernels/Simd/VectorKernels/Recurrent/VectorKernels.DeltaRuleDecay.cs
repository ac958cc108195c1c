using LowRankQuant.Numerics.Kernels.Simd.Functions;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// Decays between the tokens of a chunk and the products of keys and queries under them. Every decay is e^g of a sum of log decays over the very tokens
/// between, or a product of such: none is the quotient of two others, so none is above one, whatever the log decays are.
/// With a decay per channel the tokens are taken in sub-blocks of 16. Between sub-blocks the decay is cut where the later one begins, and the pairs are
/// a product of matrices; within one it is carried on from token to token.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    /// <summary>Tokens of one sub-block.</summary>
    private const int SubBlock = 16;

    /// <summary>One decay for all channels of the head.</summary>
    private static void HeadDecays(in DeltaRuleSizes s, in DeltaRuleMemory m, int head, int first, int n)
    {
        const int square = DeltaRuleShape.Chunk;
        int keys = s.KeyPadded;
        float* sums = m.Line;
        new Span<float>(sums, square).Clear();
        V indices = V.Indices;
        float whole = 0;
        for (int i = 0; i < n; i++)
        {
            float g = s.LogDecay[s.DecayAt(head, first + i)];
            whole += g;
            new Span<float>(m.Left + (i * keys), keys).Fill(MathF.Exp(whole));

            // The sum from after token j grows by g for j below i; it is zero at i and begins there.
            float* ratios = m.Ratios + (i * square);
            V more = V.Create(g), limit = V.Create(i);
            for (int j = 0; j <= i; j += V.Count)
            {
                V sum = (V.Load(sums + j) + more) & V.LessThan(indices + V.Create(j), limit);
                sum.Store(sums + j);
                SimdMath.Exp(sum).Store(ratios + j);
            }
        }
        for (int j = 0; j < n; j++) new Span<float>(m.Right + (j * keys), keys).Fill(m.Ratios[((n - 1) * square) + j]);
        new ReadOnlySpan<float>(m.Left + ((n - 1) * keys), keys).CopyTo(new Span<float>(m.Decay, keys));
    }

    private static void HeadScores(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        const int square = DeltaRuleShape.Chunk;
        Transposition.Transpose(m.Key, s.KeyPadded, n, s.KeySize, m.KeyTransposed, square);
        SmallProduct<V>.Multiply(n, square, s.KeySize, m.Key, s.KeyPadded, 1, m.KeyTransposed, square, m.Scores, square, false, columnLimit: 0);
        SmallProduct<V>.Multiply(n, square, s.KeySize, m.Query, s.KeyPadded, 1, m.KeyTransposed, square, m.Weights, square, false, columnLimit: 0);
        V indices = V.Indices;
        for (int i = 0; i < n; i++)
        {
            V at = V.Create(i);
            for (int j = 0; j < square; j += V.Count)
            {
                // Masked, not multiplied by zero: beyond the diagonal there may be anything.
                V index = indices + V.Create(j), ratio = V.Load(m.Ratios + (i * square) + j);
                ((V.Zero - (ratio * V.Load(m.Scores + (i * square) + j))) & V.LessThan(index, at)).Store(m.Scores + (i * square) + j);
                ((ratio * V.Load(m.Weights + (i * square) + j)) & V.LessThanOrEqual(index, at)).Store(m.Weights + (i * square) + j);
            }
        }
    }

    private static void ChannelDecays(in DeltaRuleSizes s, in DeltaRuleMemory m, int head, int first, int n)
    {
        int keys = s.KeyPadded;
        V one = V.Create(1f);
        for (int c = 0; c < keys; c += V.Count)
        {
            V whole = one, sub = one;
            for (int i = 0; i < n; i++)
            {
                if (i % SubBlock == 0) (whole, sub) = (whole * sub, one);
                int at = (i * keys) + c;
                V step = SimdMath.Exp(V.Load(s.LogDecay + s.DecayAt(head, first + i) + c, s.KeySize - c));
                sub *= step;
                step.Store(m.Steps + at);
                sub.Store(m.Sub + at);
                (whole * sub).Store(m.Left + at);
                (sub * V.Load(m.Query + at)).Store(m.SubQuery + at);
                (V.Zero - (sub * V.Load(m.Key + at))).Store(m.SubKey + at);
            }
            (whole * sub).Store(m.Decay + c);
        }
    }

    private static void ChannelScores(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        const int square = DeltaRuleShape.Chunk;
        int keys = s.KeyPadded;
        for (int block = 0; block < n; block += SubBlock)
        {
            int end = Math.Min(n, block + SubBlock), at = block * square;
            if (block > 0)
            {
                // Pairs of registers are the fast form of a product; what stands in the columns beyond the block is cleared after it.
                int columns = Math.Min(square, (block + (2 * V.Count) - 1) / (2 * V.Count) * (2 * V.Count)), rows = end - block;
                MultiplyChunk(m.Key, m.Right, m.Reached, block * keys);
                Transposition.Transpose(m.Reached, keys, block, s.KeySize, m.KeyTransposed, square);
                SmallProduct<V>.Multiply(rows, columns, s.KeySize, m.SubKey + (block * keys), keys, 1, m.KeyTransposed, square, m.Scores + at, square, false);
                SmallProduct<V>.Multiply(rows, columns, s.KeySize, m.SubQuery + (block * keys), keys, 1, m.KeyTransposed, square, m.Weights + at, square, false);
            }
            for (int i = block; i < end; i++)
            {
                new Span<float>(m.Scores + (i * square) + block, square - block).Clear();
                new Span<float>(m.Weights + (i * square) + block, square - block).Clear();
            }
            for (int j = block; j < end; j++)
            {
                float* key = m.Line;
                new ReadOnlySpan<float>(m.Key + (j * keys), keys).CopyTo(new Span<float>(key, keys));
                m.Weights[(j * square) + j] = Dot(m.Query + (j * keys), key, keys);
                for (int i = j + 1; i < end; i++)
                {
                    float* steps = m.Steps + (i * keys), left = m.Key + (i * keys), query = m.Query + (i * keys);
                    V score = V.Zero, weight = V.Zero;
                    for (int c = 0; c < keys; c += V.Count)
                    {
                        V reached = V.Load(key + c) * V.Load(steps + c);
                        reached.Store(key + c);
                        score = V.MultiplyAdd(reached, V.Load(left + c), score);
                        weight = V.MultiplyAdd(reached, V.Load(query + c), weight);
                    }
                    m.Scores[(i * square) + j] = -V.Sum(score);
                    m.Weights[(i * square) + j] = V.Sum(weight);
                }
            }
            Reach(m, m.Right, block, end, keys);
        }
    }

    /// <summary>
    /// Decays from after every token up to the last one of the sub-block [block, end): those of earlier tokens go through all of it. After the last
    /// sub-block they reach to the end of the chunk.
    /// </summary>
    private static void Reach(in DeltaRuleMemory m, float* reach, int block, int end, int keys)
    {
        float* whole = m.Sub + ((end - 1) * keys), own = reach + ((end - 1) * keys);
        for (int j = 0; j < block; j++) MultiplyChunk(reach + (j * keys), whole, reach + (j * keys), keys);
        new Span<float>(own, keys).Fill(1);
        for (int j = end - 2; j >= block; j--) MultiplyChunk(reach + ((j + 1) * keys), m.Steps + ((j + 1) * keys), reach + (j * keys), keys);
    }

    /// <summary>y = a b over whole registers.</summary>
    private static void MultiplyChunk(float* a, float* b, float* y, int n)
    {
        for (int j = 0; j < n; j += V.Count) (V.Load(a + j) * V.Load(b + j)).Store(y + j);
    }
}
