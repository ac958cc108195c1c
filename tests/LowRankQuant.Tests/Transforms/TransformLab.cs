using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;
using LowRankQuant.Tests.Evaluation;
using LowRankQuant.Tests.Families;

namespace LowRankQuant.Tests.Transforms;

/// <summary>A small model of a family, and what its blocks give before and after a transform.</summary>
internal sealed class TransformLab : IDisposable
{
    private const int Length = 24;
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(new CpuDeviceOptions { Threads = 1 });
    private readonly List<IDisposable> _owned = [];

    /// <summary>One of the cases of <see cref="FamilyModels"/>.</summary>
    public TransformLab(string name)
    {
        Source = _folder.File("source");
        FamilyModels.Write(name, Source);
        Model = Open(Source);
    }

    public string Source { get; }

    public CausalModel Model { get; }

    /// <summary>
    /// Opens a model whose vectors are multiples of 2^-12. Norms that apply (1 + w) then keep every digit when 1 + w is divided by a small power of two and 1 is taken off
    /// again, which other values in 32 bits do not.
    /// </summary>
    public CausalModel Open(string folder) => Own(new CausalModel(new AlteredCheckpoint(CheckpointOpener.Open(folder), (_, values) => ToShortVector(values)), _device));

    /// <summary>Opens a model as it is.</summary>
    public CausalModel OpenAsIs(ICheckpoint checkpoint) => Own(new CausalModel(checkpoint, _device));

    public ICheckpoint Checkpoint() => new AlteredCheckpoint(CheckpointOpener.Open(Source), (_, values) => ToShortVector(values));

    public string File(string name) => _folder.File(name);

    /// <summary>All blocks of a model.</summary>
    public IDecoderBlock[] Blocks(CausalModel model) => [.. Enumerable.Range(0, model.Config.Layers).Select(index => Own(model.LoadBlock(index)))];

    /// <summary>The stream in front of and behind every block, and the logits.</summary>
    public float[][] Run(CausalModel model, IReadOnlyList<IDecoderBlock> blocks, InputEmbedding? embedding = null, OutputHead? head = null)
    {
        int[] ids = [.. Enumerable.Range(0, Length).Select(i => ((i * i * 7) + (i * 31) + 5) % FamilyModels.Vocabulary)];
        embedding ??= Own(model.LoadEmbedding());
        head ??= Own(model.LoadHead());
        using var tape = new Tape(_device, recording: false);
        Tensor x = tape.Rent(Length, model.Config.HiddenSize);
        using var inputs = new PassInputs(embedding, blocks.Count, ids, x);
        ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, Length));
        var state = new Variable(x);
        var all = new List<float[]> { state.Value.ToArray() };
        for (int i = 0; i < blocks.Count; i++)
        {
            state = blocks[i].Forward(tape, state, inputs.For(pass, i));
            all.Add(state.Value.ToArray());
        }
        all.Add(head.Logits(tape, state).Value.ToArray());
        return [.. all];
    }

    /// <summary>Root mean square of the difference over that of the expected.</summary>
    public static double Relative(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow((double)expected[i] - actual[i], 2);
            norm += Math.Pow(expected[i], 2);
        }
        return Math.Sqrt(difference / norm);
    }

    /// <summary>What two runs gave differs by no more than rounding does.</summary>
    public static void AssertSameButForRounding(float[][] expected, float[][] actual) => AssertAlike(expected, actual, (one, other) => Relative(one, other) < 3e-6);

    /// <summary>What two runs gave is the same to the bit.</summary>
    public static void AssertSameBits(float[][] expected, float[][] actual) => AssertAlike(expected, actual, (one, other) => one.AsSpan().SequenceEqual(other));

    /// <summary>Positive factors: powers of two from 1/4 to 4, or any from about a third to three.</summary>
    public static float[] Factors(int count, ulong seed, bool powersOfTwo)
    {
        SeededRandom random = SeededRandom.Derive(77, seed);
        var factors = new float[count];
        for (int i = 0; i < count; i++) factors[i] = (float)(powersOfTwo ? Math.Pow(2, random.NextInt32(5) - 2) : Math.Exp(0.5 * random.NextGaussian()));
        return factors;
    }

    public void Dispose()
    {
        foreach (IDisposable one in Enumerable.Reverse(_owned)) one.Dispose();
        _device.Dispose();
        _folder.Dispose();
    }

    private static void AssertAlike(float[][] expected, float[][] actual, Func<float[], float[], bool> alike)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++) Assert.True(alike(expected[i], actual[i]), $"stream {i} differs by {Relative(expected[i], actual[i])}");
    }

    private static void ToShortVector(Span<float> values)
    {
        // Vectors are at most as long as the widest row of these models.
        if (values.Length > 1024) return;
        for (int i = 0; i < values.Length; i++) values[i] = MathF.Round(values[i] * 4096) / 4096;
    }

    private T Own<T>(T one)
        where T : IDisposable
    {
        _owned.Add(one);
        return one;
    }
}
