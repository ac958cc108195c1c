using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Kernels;

namespace LowRankQuant.Benchmarks;

/// <summary>One Llama block of SmolLM2-135M's sizes with numbers from SplitMix64; bench/torch_common.py draws the same ones.</summary>
internal static class SyntheticBlock
{
    public const int Hidden = 576;
    private const int Heads = 9;
    private const int KeyValueHeads = 3;
    private const int HeadSize = 64;
    private const int Intermediate = 1536;
    private const float Epsilon = 1e-5f;
    private const double Theta = 10000;
    private const ulong InputSeed = 100;
    private const ulong LinearSeed = 101;
    private const ulong NormSeed = 108;
    private const ulong UpstreamSeed = 110;

    public static readonly (string Short, string Name, int OutFeatures, int InFeatures)[] Linears =
    [
        ("q", "self_attn.q_proj", Heads * HeadSize, Hidden), ("k", "self_attn.k_proj", KeyValueHeads * HeadSize, Hidden),
        ("v", "self_attn.v_proj", KeyValueHeads * HeadSize, Hidden), ("o", "self_attn.o_proj", Hidden, Heads * HeadSize),
        ("gate", "mlp.gate_proj", Intermediate, Hidden), ("up", "mlp.up_proj", Intermediate, Hidden), ("down", "mlp.down_proj", Hidden, Intermediate),
    ];

    /// <summary>The block; with <paramref name="trained"/> its weights and norms have gradients.</summary>
    public static DecoderBlock Create(Device device, int length, bool trained)
    {
        var rope = new RopeTables(device, new RopeConfig { Theta = Theta, RotatedSize = HeadSize, MaxPositions = length });
        LinearSlot[] slots = [.. Linears.Select((linear, i) =>
        {
            Tensor value = Spread(device, LinearSeed + (ulong)i, Math.Sqrt(3.0 / linear.InFeatures), 0, linear.OutFeatures, linear.InFeatures);
            DenseWeight weight = trained ? new DenseWeight(value, device.Zeros(linear.OutFeatures, linear.InFeatures)) : new DenseWeight(value);
            return new LinearSlot(linear.Name, linear.OutFeatures, linear.InFeatures, weight, null);
        })];
        return new DecoderBlock
        {
            Index = 0,
            Name = "block",
            AttentionNorm = Norm(0),
            Attention = new Attention
            {
                Query = slots[0],
                Key = slots[1],
                Value = slots[2],
                Output = slots[3],
                Heads = Heads,
                KeyValueHeads = KeyValueHeads,
                HeadSize = HeadSize,
                Scale = (float)(1 / Math.Sqrt(HeadSize)),
                Rope = rope,
            },
            MlpNorm = Norm(1),
            Mlp = new GatedMlp { Gate = slots[4], Up = slots[5], Down = slots[6], Activation = Activation.Silu },
        };

        INorm Norm(int index)
        {
            Tensor weight = Spread(device, NormSeed + (ulong)index, 0.1, 1, Hidden);
            return trained ? new TrainedNorm(weight, device.Zeros(Hidden), Epsilon) : new RmsNorm(weight, Epsilon);
        }
    }

    public static Tensor Input(Device device, int rows) => Spread(device, InputSeed, 1, 0, rows, Hidden);

    public static Tensor Upstream(Device device, int rows) => Spread(device, UpstreamSeed, 1, 0, rows, Hidden);

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

    private static Tensor Spread(Device device, ulong seed, double bound, double center, params ReadOnlySpan<int> shape)
    {
        Tensor tensor = device.Empty(shape);
        var random = new SeededRandom(seed);
        foreach (ref float value in tensor.Span) value = (float)(center + (((2 * random.NextUniform()) - 1) * bound));
        return tensor;
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
