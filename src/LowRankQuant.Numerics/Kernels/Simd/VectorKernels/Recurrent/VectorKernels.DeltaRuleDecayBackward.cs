namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>
/// What the gradients of A and P give to queries and keys. A key that reads, one that is written and the decay between them are factors of a pair: with
/// a = -dA, p = dP and e the decay, dk^_i += a e k^_j (read), dq^_i += p e k^_j, dk^_j += e (a k^_i + p q^_i) (written), for j below i.
/// </summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    private static void HeadScoresBackward(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        const int square = DeltaRuleShape.Chunk;
        int keys = s.KeyPadded;
        V indices = V.Indices;
        for (int i = 0; i < n; i++)
        {
            V at = V.Create(i);
            for (int j = 0; j < square; j += V.Count)
            {
                int pair = (i * square) + j;
                V ratio = V.Load(m.Ratios + pair), below = V.LessThan(indices + V.Create(j), at);
                ((V.Zero - (ratio * V.Load(m.ScoreSlope + pair))) & below).Store(m.ScoreSlope + pair);
                ((ratio * V.Load(m.WeightSlope + pair)) & below).Store(m.WeightSlope + pair);
            }
        }
        SmallProduct<V>.Multiply(n, keys, n, m.WeightSlope, square, 1, m.Key, keys, m.QuerySlope, keys, true, innerLimit: 0);
        SmallProduct<V>.Multiply(n, keys, n, m.ScoreSlope, square, 1, m.Key, keys, m.ReadSlope, keys, true, innerLimit: 0);
        SmallProduct<V>.Multiply(n, keys, n, m.ScoreSlope, 1, square, m.Key, keys, m.WriteSlope, keys, true, innerStart: 0);
        SmallProduct<V>.Multiply(n, keys, n, m.WeightSlope, 1, square, m.Query, keys, m.WriteSlope, keys, true, innerStart: 0);
    }

    private static void ChannelScoresBackward(in DeltaRuleSizes s, in DeltaRuleMemory m, int n)
    {
        const int square = DeltaRuleShape.Chunk;
        int keys = s.KeyPadded;
        for (int block = 0; block < n; block += SubBlock)
        {
            int end = Math.Min(n, block + SubBlock), rows = end - block, at = block * keys;
            if (block > 0)
            {
                float* scores = m.ScoreSlope + (block * square), weights = m.WeightSlope + (block * square);
                MultiplyChunk(m.Key, m.Reach, m.Reached, block * keys);
                SmallProduct<V>.Multiply(rows, keys, block, weights, square, 1, m.Reached, keys, m.Part, keys, false);
                AddProduct(m.Sub + at, m.Part, 1, m.QuerySlope + at, rows * keys);
                SmallProduct<V>.Multiply(rows, keys, block, scores, square, 1, m.Reached, keys, m.Part, keys, false);
                AddProduct(m.Sub + at, m.Part, -1, m.ReadSlope + at, rows * keys);

                // SubKey is negative, as the gradient of A is that of minus the product.
                SmallProduct<V>.Multiply(block, keys, rows, scores, 1, square, m.SubKey + at, keys, m.Part, keys, false);
                SmallProduct<V>.Multiply(block, keys, rows, weights, 1, square, m.SubQuery + at, keys, m.Part, keys, true);
                AddProduct(m.Reach, m.Part, 1, m.WriteSlope, block * keys);
            }
            for (int j = block; j < end; j++) WithinSubBlock(m, j, end, keys);
            Reach(m, m.Reach, block, end, keys);
        }
    }

    /// <summary>Token j and those after it in its sub-block.</summary>
    private static void WithinSubBlock(in DeltaRuleMemory m, int j, int end, int keys)
    {
        const int square = DeltaRuleShape.Chunk;
        float* decay = m.Line, key = m.Key + (j * keys), write = m.WriteSlope + (j * keys);
        new Span<float>(decay, keys).Fill(1);
        for (int i = j + 1; i < end; i++)
        {
            int at = i * keys;
            V score = V.Create(-m.ScoreSlope[(i * square) + j]), weight = V.Create(m.WeightSlope[(i * square) + j]);
            for (int c = 0; c < keys; c += V.Count)
            {
                V ratio = V.Load(decay + c) * V.Load(m.Steps + at + c), reached = ratio * V.Load(key + c);
                ratio.Store(decay + c);
                V.MultiplyAdd(score, reached, V.Load(m.ReadSlope + at + c)).Store(m.ReadSlope + at + c);
                V.MultiplyAdd(weight, reached, V.Load(m.QuerySlope + at + c)).Store(m.QuerySlope + at + c);
                V both = V.MultiplyAdd(score, V.Load(m.Key + at + c), weight * V.Load(m.Query + at + c));
                V.MultiplyAdd(ratio, both, V.Load(write + c)).Store(write + c);
            }
        }
    }

    /// <summary>y += sign a b over whole registers.</summary>
    private static void AddProduct(float* a, float* b, float sign, float* y, int n)
    {
        V factor = V.Create(sign);
        for (int j = 0; j < n; j += V.Count) V.MultiplyAdd(factor * V.Load(a + j), V.Load(b + j), V.Load(y + j)).Store(y + j);
    }
}
