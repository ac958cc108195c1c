using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Bodies;
using LowRankQuant.Models.Decoder.FeedForward;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Mixers;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;

namespace LowRankQuant.Benchmarks;

/// <summary>One Llama block with numbers from SplitMix64; bench/torch_common.py draws the same ones at SmolLM2-135M's sizes.</summary>
/// <param name="Hidden">Width of the stream.</param>
/// <param name="Heads">Heads of queries.</param>
/// <param name="KeyValueHeads">Heads of keys and values.</param>
/// <param name="HeadSize">Width of a head.</param>
/// <param name="Intermediate">Width of the MLP.</param>
internal sealed record SyntheticBlock(int Hidden, int Heads, int KeyValueHeads, int HeadSize, int Intermediate)
{
    private const float Epsilon = 1e-5f;
    private const double Theta = 10000;
    private const ulong InputSeed = 100;
    private const ulong LinearSeed = 101;
    private const ulong NormSeed = 108;
    private const ulong UpstreamSeed = 110;

    private static readonly Dictionary<string, SyntheticBlock> Known = new(StringComparer.Ordinal)
    {
        ["smollm2-135m"] = new(576, 9, 3, 64, 1536),
        ["tinyllama-1.1b"] = new(2048, 32, 4, 64, 5632),
        ["llama-2-7b"] = new(4096, 32, 32, 128, 11008),
        ["llama-2-13b"] = new(5120, 40, 40, 128, 13824),
    };

    /// <summary>The block of a model, by default SmolLM2-135M's.</summary>
    public static SyntheticBlock Of(Options options) => options.Text("model") is not { } name ? Known["smollm2-135m"]
        : Known.TryGetValue(name, out SyntheticBlock? block) ? block : throw new ArgumentException($"--model {name}: the blocks are those of {string.Join(", ", Known.Keys)}.");

    public (string Short, string Name, int OutFeatures, int InFeatures)[] Linears =>
    [
        ("q", "self_attn.q_proj", Heads * HeadSize, Hidden), ("k", "self_attn.k_proj", KeyValueHeads * HeadSize, Hidden),
        ("v", "self_attn.v_proj", KeyValueHeads * HeadSize, Hidden), ("o", "self_attn.o_proj", Hidden, Heads * HeadSize),
        ("gate", "mlp.gate_proj", Intermediate, Hidden), ("up", "mlp.up_proj", Intermediate, Hidden), ("down", "mlp.down_proj", Hidden, Intermediate),
    ];

    /// <summary>The block; with <paramref name="trained"/> its weights and norms have gradients.</summary>
    public IDecoderBlock Create(Device device, int length, bool trained) => Create(device, length, trained, out _);

    /// <summary>The block, and its norms in their order.</summary>
    public IDecoderBlock Create(Device device, int length, bool trained, out INorm[] norms)
    {
        var parts = new BlockParts(new SyntheticTensors(device, trained), "block", 0);
        LinearSlot[] slots = [.. Linears.Select(linear => parts.Linear(linear.Name, linear.OutFeatures, linear.InFeatures))];
        INorm[] made = [.. Enumerable.Range(0, 2).Select(index => parts.Own(MakeNorm(device, index, trained)))];
        norms = made;
        return new DecoderBlock(parts, new SequentialBody
        {
            MixerNorm = made[0],
            Mixer = new Attention
            {
                Query = slots[0],
                Key = slots[1],
                Value = slots[2],
                Output = slots[3],
                Shape = new AttentionShape(1, 1, 1, Heads, KeyValueHeads, HeadSize, (float)(1 / Math.Sqrt(HeadSize))),
                Rope = parts.Rope(new RopeConfig { Theta = Theta, RotatedSize = HeadSize, MaxPositions = length }),
            },
            MlpNorm = made[1],
            Mlp = new GatedMlp { Gate = slots[4], Up = slots[5], Down = slots[6], Activation = Activation.Silu },
        });
    }

    public Tensor Input(Device device, int rows) => Spread(device, InputSeed, 1, 0, rows, Hidden);

    public Tensor Upstream(Device device, int rows) => Spread(device, UpstreamSeed, 1, 0, rows, Hidden);

    /// <summary>Square root of the sum of squares of some tensors.</summary>
    public static double Norm(params ReadOnlySpan<Tensor> tensors)
    {
        double sum = 0;
        foreach (Tensor tensor in tensors)
        {
            foreach (float value in tensor.Span) sum += (double)value * value;
        }
        return Math.Sqrt(sum);
    }

    private INorm MakeNorm(Device device, int index, bool trained)
    {
        Tensor weight = Spread(device, NormSeed + (ulong)index, 0.1, 1, Hidden);
        return trained ? new TrainedNorm(weight, device.Zeros(Hidden), Epsilon) : new RmsNorm(weight, Epsilon);
    }

    private static Tensor Spread(Device device, ulong seed, double bound, double center, params ReadOnlySpan<int> shape)
    {
        Tensor tensor = device.Empty(shape);
        var random = new SeededRandom(seed);
        foreach (ref float value in tensor.Span) value = (float)(center + (((2 * random.NextUniform()) - 1) * bound));
        return tensor;
    }

    private sealed class SyntheticTensors(Device device, bool trained) : ITensorSource
    {
        private ulong _next = LinearSeed;

        public Device Device => device;

        public bool IsStored(string name) => true;

        public Tensor Load(TensorSpec spec) => throw new NotSupportedException("The block's norms are made apart.");

        public Tensor Ones(int size) => throw new NotSupportedException("The block has no vectors of ones.");

        public IWeightSource LoadWeight(TensorSpec spec, bool isExpert)
        {
            Tensor value = Spread(device, _next++, Math.Sqrt(3.0 / spec.Shape[1]), 0, [.. spec.Shape]);
            return trained ? new DenseWeight(value, device.Zeros([.. spec.Shape])) : new DenseWeight(value);
        }

        public RopeTables Tables(RopeConfig rope) => new(device, rope);

        public void NoteMissingBias(string module, string key)
        {
        }
    }
}

/// <summary>An RMS norm whose weight has a gradient.</summary>
internal sealed class TrainedNorm(Tensor weight, Tensor gradient, float epsilon) : INorm
{
    public Variable Weight { get; } = new(weight, gradient);

    public Variable Apply(Tape tape, Variable x) => tape.RmsNorm(x, Weight, epsilon);

    public void Dispose()
    {
        weight.Dispose();
        gradient.Dispose();
    }
}
