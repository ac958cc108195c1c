using LowRankQuant.Numerics;

namespace LowRankQuant.Tests.Kernels;

/// <summary>Random inputs of the gated delta rule, with rows of zero keys and betas near both ends among them.</summary>
internal sealed class DeltaRuleData
{
    private readonly DeltaRuleShape _shape;

    /// <param name="shape">Sizes.</param>
    /// <param name="decay">How fast states fade: none, slow, mild, strong, endless (e^g is zero), rare (slow but for a token in
    /// fifty), or mixed: everything from token to token.</param>
    public DeltaRuleData(DeltaRuleShape shape, string decay)
    {
        _shape = shape;
        var random = new SeededRandom((ulong)((shape.Length * 1000) + shape.KeySize));
        int rows = shape.Rows, keys = shape.KeyHeads * shape.KeySize, values = shape.ValueHeads * shape.ValueSize;
        (Q, K, V, Dy) = (KernelTwins.Random(random, rows * keys, 2), KernelTwins.Random(random, rows * keys, 2), KernelTwins.Random(random, rows * values), KernelTwins.Random(random, rows * values));
        Start = KernelTwins.Random(random, shape.StateRows * shape.ValueSize);
        float[] noise = KernelTwins.Random(random, rows * shape.DecayColumns);
        int[] kinds = [.. noise.Select(_ => random.NextInt32(300))];
        G = [.. noise.Select((x, i) => -Decay(decay, kinds[i], Math.Abs(x)))];
        Beta = [.. KernelTwins.Random(random, rows * shape.ValueHeads, 2).Select((x, i) => i % 7 == 3 ? 1e-6f : i % 7 == 5 ? 1 - 1e-6f : 1 / (1 + MathF.Exp(-x)))];
        for (int row = 3; row < rows; row += 5) Array.Clear(K, row * keys, keys);
    }

    private DeltaRuleData(DeltaRuleData whole, int first, int count)
    {
        _shape = whole._shape with { Length = count };
        (Q, K, V, Dy) = (Part(whole.Q), Part(whole.K), Part(whole.V), Part(whole.Dy));
        (G, Beta, Start) = (Part(whole.G), Part(whole.Beta), whole.Start);
        float[] Part(float[] x) => DeltaRuleData.Part(x, whole._shape, first, count);
    }

    public float[] Q { get; }

    public float[] K { get; }

    public float[] V { get; }

    public float[] G { get; }

    public float[] Beta { get; }

    public float[] Dy { get; }

    public float[] Start { get; }

    /// <summary>Some tokens of every sequence.</summary>
    public DeltaRuleData Part(int first, int count) => new(this, first, count);

    public static float[] Part(float[] x, DeltaRuleShape shape, int first, int count)
    {
        int columns = x.Length / shape.Rows;
        return [.. Enumerable.Range(0, shape.Batch).SelectMany(b => x.AsSpan(((b * shape.Length) + first) * columns, count * columns).ToArray())];
    }

    public DeltaRuleTerms Terms(KernelTwins twins)
    {
        return new DeltaRuleTerms(Rows(Q), Rows(K), Rows(V), Rows(G), Rows(Beta));
        Tensor Rows(float[] x) => twins.From(x, _shape.Rows, x.Length / _shape.Rows);
    }

    public static DeltaRuleTerms Empty(KernelTwins twins, DeltaRuleShape shape) => new(
        twins.Empty(shape.Rows, shape.KeyHeads * shape.KeySize), twins.Empty(shape.Rows, shape.KeyHeads * shape.KeySize),
        twins.Empty(shape.Rows, shape.ValueHeads * shape.ValueSize), twins.Empty(shape.Rows, shape.DecayColumns), twins.Empty(shape.Rows, shape.ValueHeads));

    private static float Decay(string name, int kind, float size) => name switch
    {
        "none" => 0,
        "slow" => size * 1e-3f,
        "mild" => size * 0.3f,
        "strong" => 50,
        "endless" => kind < 150 ? float.PositiveInfinity : size,
        "rare" => kind switch { < 3 => 50, < 5 => 1e4f, < 6 => float.PositiveInfinity, < 50 => 0, _ => size * 0.01f },
        _ => (kind % 6) switch { 0 => 0, 1 => 50, 2 => 1e4f, 3 => size * 10, _ => size * 0.01f },
    };
}
