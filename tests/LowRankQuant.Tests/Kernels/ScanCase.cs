using System.Runtime.InteropServices;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Kernels.Scalar;

namespace LowRankQuant.Tests.Kernels;

/// <summary>A recurrence with a state of some size, its random inputs, and its plain form in double precision.</summary>
internal abstract class ScanCase
{
    public required float[] X { get; init; }

    public required float[] B { get; init; }

    public required float[] C { get; init; }

    public required float[] Steps { get; init; }

    public required float[] A { get; init; }

    public required float[] D { get; init; }

    public required float[] Start { get; init; }

    public required float[] Slope { get; init; }

    public abstract long KeptElements { get; }

    /// <summary>Tokens of a sequence, and sequences.</summary>
    public abstract (int Length, int Batch) Tokens { get; }

    public abstract void Forward(IKernels kernels, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? kept);

    public abstract void Backward(IKernels kernels, in ScanInputs inputs, Tensor kept, Tensor dy, in ScanGradients gradients);

    /// <summary>The same recurrence over fewer tokens.</summary>
    public abstract ScanCase Part(int first, int count);

    public abstract void ReferenceForward(ScanDoubles values, double[] y, double[] end, double[] kept, bool started = true);

    public abstract void ReferenceBackward(ScanDoubles values, double[] kept, double[] dy, ScanDoubles gradients);

    public ScanInputs Inputs(KernelTwins twins) => new(
        twins.From(X, X.Length), twins.From(B, B.Length), twins.From(C, C.Length), twins.From(Steps, Steps.Length), twins.From(A, A.Length),
        twins.From(D, D.Length));

    public ScanDoubles Doubles() => new(Double(X), Double(B), Double(C), Double(Steps), Double(A), Double(D), Double(Start));

    public ScanDoubles Zeros() => new(
        new double[X.Length], new double[B.Length], new double[C.Length], new double[Steps.Length], [], [], []);

    public ScanGradients Empty(KernelTwins twins) => new(twins.Empty(X.Length), twins.Empty(B.Length), twins.Empty(C.Length), twins.Empty(Steps.Length));

    /// <summary>
    /// Every width comes near the plain form in double precision, forward and backward, with and without kept, start and end states; every number of
    /// threads comes to the same bits.
    /// </summary>
    public void CompareWithTwin(KernelTwins twins, double forward, double backward, string what)
    {
        double[] y = new double[X.Length], end = new double[Start.Length], kept = new double[KeptElements], unstarted = new double[X.Length];
        ScanDoubles values = Doubles(), gradients = Zeros();
        ReferenceForward(values, unstarted, [], [], started: false);
        ReferenceForward(values, y, end, kept);
        ReferenceBackward(values, kept, Double(Slope), gradients);
        (double[] Expected, double Tolerance)[] expected =
        [
            (y, forward), (end, forward), (kept, forward), (y, forward), (end, forward), (unstarted, forward), (gradients.X, backward), (gradients.B, backward),
            (gradients.C, backward), (gradients.Steps, backward),
        ];
        foreach (int bits in KernelTwins.Widths)
        {
            float[][] one = Run(twins, twins.Simd(bits, 1));
            for (int i = 0; i < one.Length; i++) Near(expected[i].Expected, one[i], expected[i].Tolerance, $"{what} output {i}, {bits} bits");
            foreach (int threads in new[] { 2, 3 })
            {
                float[][] more = Run(twins, twins.Simd(bits, threads));
                for (int i = 0; i < one.Length; i++)
                {
                    bool same = MemoryMarshal.AsBytes<float>(one[i]).SequenceEqual(MemoryMarshal.AsBytes<float>(more[i]));
                    Assert.True(same, $"{what} output {i}, {bits} bits: {threads} threads give other bits than one.");
                }
            }
        }
        float[][] scalar = Run(twins, twins.Scalar);
        for (int i = 0; i < scalar.Length; i++) Near(expected[i].Expected, scalar[i], expected[i].Tolerance, $"{what} output {i}, scalar");
    }

    /// <summary>Parts whose states are handed on, in place, come to what the whole does.</summary>
    public void ComparePartsWithWhole(KernelTwins twins, IKernels kernels, int[] cuts, double tolerance)
    {
        Tensor whole = twins.Empty(X.Length), end = twins.Empty(Start.Length), state = twins.From(Start, Start.Length);
        Forward(kernels, Inputs(twins), twins.From(Start, Start.Length), whole, end, null);
        (int length, int batch) = Tokens;
        var y = new float[X.Length];
        int first = 0, columns = X.Length / (length * batch);
        foreach (int cut in cuts.Append(length))
        {
            ScanCase part = Part(first, cut - first);
            Tensor output = twins.Empty(part.X.Length);
            part.Forward(kernels, part.Inputs(twins), state, output, state, null);
            for (int i = 0; i < batch; i++)
                output.Span.Slice(i * (cut - first) * columns, (cut - first) * columns).CopyTo(y.AsSpan(((i * length) + first) * columns));
            first = cut;
        }
        KernelTwins.Near(whole.ToArray(), y, tolerance, "y of the parts");
        KernelTwins.Near(end.ToArray(), state.ToArray(), tolerance, "end state of the parts");
    }

    public static void Near(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = expected.Max(Math.Abs);
        for (int i = 0; i < expected.Length; i++)
        {
            // Written so that not-a-number fails.
            if (Math.Abs(expected[i] - actual[i]) <= tolerance * largest) continue;
            Assert.Fail($"{what} [{i}]: {actual[i]:r} for {expected[i]:r}, largest {largest:r}");
        }
    }

    public static double[] Double(float[] values) => Array.ConvertAll(values, value => (double)value);

    /// <summary>Tokens first to first + count of every sequence of values [batch, length, columns].</summary>
    protected static float[] Rows(float[] values, (int Length, int Batch) tokens, int first, int count)
    {
        int columns = values.Length / (tokens.Length * tokens.Batch);
        return [.. Enumerable.Range(0, tokens.Batch).SelectMany(i => values.Skip(((i * tokens.Length) + first) * columns).Take(count * columns))];
    }

    private float[][] Run(KernelTwins twins, IKernels kernels)
    {
        ScanInputs inputs = Inputs(twins);
        Tensor start = twins.From(Start, Start.Length), state = twins.From(Start, Start.Length), dy = twins.From(Slope, Slope.Length);
        Tensor y = twins.Empty(X.Length), end = twins.Empty(Start.Length), kept = twins.Empty((int)KeptElements), again = twins.Empty(X.Length);
        Tensor unstarted = twins.Empty(X.Length);
        Forward(kernels, inputs, start, y, end, kept);
        Forward(kernels, inputs, state, again, state, null);
        Forward(kernels, inputs, null, unstarted, null, null);
        ScanGradients gradients = Empty(twins);
        Backward(kernels, inputs, kept, dy, gradients);
        Tensor[] results = [y, end, kept, again, state, unstarted, gradients.X, gradients.B, gradients.C, gradients.StepSizes];
        return Array.ConvertAll(results, tensor => tensor.ToArray());
    }
}

/// <summary>Inputs of a recurrence, or their gradients.</summary>
internal sealed record ScanDoubles(double[] X, double[] B, double[] C, double[] Steps, double[] A, double[] D, double[] Start);

/// <summary>Mamba-2.</summary>
internal sealed class StateSpaceCase(StateSpaceShape shape) : ScanCase
{
    public StateSpaceShape Shape => shape;

    public override long KeptElements => shape.KeptElements;

    public override (int Length, int Batch) Tokens => (shape.Length, shape.Batch);

    /// <summary>Random inputs whose dt A lies around -decay.</summary>
    public static StateSpaceCase Random(StateSpaceShape shape, double decay, ulong seed)
    {
        var random = new SeededRandom(seed);
        int rows = shape.Batch * shape.Length, inner = shape.Heads * shape.HeadSize, shared = shape.Groups * shape.StateSize;
        return new StateSpaceCase(shape)
        {
            X = KernelTwins.Random(random, rows * inner),
            B = KernelTwins.Random(random, rows * shared),
            C = KernelTwins.Random(random, rows * shared),
            Steps = [.. KernelTwins.Random(random, rows * shape.Heads).Select(value => 1 / (1 + MathF.Exp(-value)))],
            A = [.. KernelTwins.Random(random, shape.Heads).Select(value => (float)(-2 * decay / (1 + Math.Exp(-value))))],
            D = KernelTwins.Random(random, shape.Heads),
            Start = KernelTwins.Random(random, shape.Batch * inner * shape.StateSize),
            Slope = KernelTwins.Random(random, rows * inner),
        };
    }

    public override ScanCase Part(int first, int count) => new StateSpaceCase(shape with { Length = count })
    {
        X = Rows(X, Tokens, first, count),
        B = Rows(B, Tokens, first, count),
        C = Rows(C, Tokens, first, count),
        Steps = Rows(Steps, Tokens, first, count),
        A = A,
        D = D,
        Start = Start,
        Slope = Rows(Slope, Tokens, first, count),
    };

    public override void Forward(IKernels kernels, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? kept) =>
        kernels.StateSpaceForward(shape, inputs, start, y, end, kept);

    public override void Backward(IKernels kernels, in ScanInputs inputs, Tensor kept, Tensor dy, in ScanGradients gradients) =>
        kernels.StateSpaceBackward(shape, inputs, kept, dy, gradients);

    public override void ReferenceForward(ScanDoubles values, double[] y, double[] end, double[] kept, bool started = true) =>
        Reference.StateSpaceForward<double>(
            shape, values.X, values.B, values.C, values.Steps, values.A, values.D, started ? values.Start : [], y, end, kept);

    public override void ReferenceBackward(ScanDoubles values, double[] kept, double[] dy, ScanDoubles gradients) =>
        Reference.StateSpaceBackward<double>(
            shape, values.X, values.B, values.C, values.Steps, values.A, values.D, kept, dy, gradients.X, gradients.B, gradients.C, gradients.Steps);
}

/// <summary>Mamba-1.</summary>
internal sealed class SelectiveScanCase(SelectiveScanShape shape) : ScanCase
{
    public SelectiveScanShape Shape => shape;

    public override long KeptElements => shape.KeptElements;

    public override (int Length, int Batch) Tokens => (shape.Length, shape.Batch);

    /// <summary>Random inputs whose dt A lies around -decay.</summary>
    public static SelectiveScanCase Random(SelectiveScanShape shape, double decay, ulong seed)
    {
        var random = new SeededRandom(seed);
        int rows = shape.Batch * shape.Length;
        return new SelectiveScanCase(shape)
        {
            X = KernelTwins.Random(random, rows * shape.Channels),
            B = KernelTwins.Random(random, rows * shape.StateSize),
            C = KernelTwins.Random(random, rows * shape.StateSize),
            Steps = [.. KernelTwins.Random(random, rows * shape.Channels).Select(value => 1 / (1 + MathF.Exp(-value)))],
            A = [.. KernelTwins.Random(random, shape.Channels * shape.StateSize).Select(value => (float)(-2 * decay / (1 + Math.Exp(-value))))],
            D = KernelTwins.Random(random, shape.Channels),
            Start = KernelTwins.Random(random, shape.Batch * shape.Channels * shape.StateSize),
            Slope = KernelTwins.Random(random, rows * shape.Channels),
        };
    }

    public override ScanCase Part(int first, int count) => new SelectiveScanCase(shape with { Length = count })
    {
        X = Rows(X, Tokens, first, count),
        B = Rows(B, Tokens, first, count),
        C = Rows(C, Tokens, first, count),
        Steps = Rows(Steps, Tokens, first, count),
        A = A,
        D = D,
        Start = Start,
        Slope = Rows(Slope, Tokens, first, count),
    };

    public override void Forward(IKernels kernels, in ScanInputs inputs, Tensor? start, Tensor y, Tensor? end, Tensor? kept) =>
        kernels.SelectiveScanForward(shape, inputs, start, y, end, kept);

    public override void Backward(IKernels kernels, in ScanInputs inputs, Tensor kept, Tensor dy, in ScanGradients gradients) =>
        kernels.SelectiveScanBackward(shape, inputs, kept, dy, gradients);

    public override void ReferenceForward(ScanDoubles values, double[] y, double[] end, double[] kept, bool started = true) =>
        Reference.SelectiveScanForward<double>(
            shape, values.X, values.B, values.C, values.Steps, values.A, values.D, started ? values.Start : [], y, end, kept);

    public override void ReferenceBackward(ScanDoubles values, double[] kept, double[] dy, ScanDoubles gradients) =>
        Reference.SelectiveScanBackward<double>(
            shape, values.X, values.B, values.C, values.Steps, values.A, values.D, kept, dy, gradients.X, gradients.B, gradients.C, gradients.Steps);
}
