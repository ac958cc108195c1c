using System.Buffers.Binary;

namespace LowRankQuant.Tests.Readers;

/// <summary>
/// Attention and norm tensors of single layers of GPT-2 small, one file a tensor: big-endian fp32, matrices stored with a row per input.
/// Matrices are handed out as [outFeatures, inFeatures].
/// </summary>
internal sealed class Gpt2AttentionTensors
{
    public const int Width = 768;

    private Gpt2AttentionTensors(string folder)
    {
        (Query, QueryBias) = Linear(folder, "att.query");
        (Key, KeyBias) = Linear(folder, "att.key");
        (Value, ValueBias) = Linear(folder, "att.value");
        (Projection, ProjectionBias) = Linear(folder, "att.proj");
        (AttentionNormWeight, AttentionNormBias) = (Read(folder, "att.norm.w", Width), Read(folder, "att.norm.b", Width));
        (MlpNormWeight, MlpNormBias) = (Read(folder, "mlp.norm.w", Width), Read(folder, "mlp.norm.b", Width));
        (MlpFirstBias, MlpSecondBias) = (Read(folder, "mlp.layer1.b", 4 * Width), Read(folder, "mlp.layer2.b", Width));
    }

    public NamedTensor Query { get; }

    public NamedTensor Key { get; }

    public NamedTensor Value { get; }

    public NamedTensor Projection { get; }

    public float[] QueryBias { get; }

    public float[] KeyBias { get; }

    public float[] ValueBias { get; }

    public float[] ProjectionBias { get; }

    public float[] AttentionNormWeight { get; }

    public float[] AttentionNormBias { get; }

    public float[] MlpNormWeight { get; }

    public float[] MlpNormBias { get; }

    public float[] MlpFirstBias { get; }

    public float[] MlpSecondBias { get; }

    /// <summary>Reads layer 1, 6 or 12 (counted from 1) from the folder gpt2-small-attn.</summary>
    public static Gpt2AttentionTensors Load(string root, int layer) => new(Path.Combine(root, $"decoder{layer}"));

    private static (NamedTensor Weight, float[] Bias) Linear(string folder, string name)
    {
        float[] byInput = Read(folder, name + ".w", Width * Width), weight = new float[byInput.Length];
        for (int input = 0; input < Width; input++)
        {
            for (int output = 0; output < Width; output++) weight[(output * Width) + input] = byInput[(input * Width) + output];
        }
        return (new([Width, Width], weight), Read(folder, name + ".b", Width));
    }

    private static float[] Read(string folder, string name, int count)
    {
        string path = Path.Combine(folder, name + ".dat");
        byte[] bytes = File.ReadAllBytes(path);
        if (bytes.Length != 4 * count) throw new InvalidDataException($"'{path}' has {bytes.Length} bytes where {count} floats need {4 * count}.");
        float[] values = new float[count];
        for (int i = 0; i < count; i++) values[i] = BinaryPrimitives.ReadSingleBigEndian(bytes.AsSpan(4 * i));
        return values;
    }
}
