using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>A checkpoint whose tensors are changed as they are read.</summary>
internal class AlteredCheckpoint(ICheckpoint inner, AlteredCheckpoint.Alteration alter) : ICheckpoint
{
    public delegate void Alteration(string name, Span<float> values);

    public string Location => inner.Location;

    public string Kind => inner.Kind;

    public Architecture Architecture => inner.Architecture;

    public ModelLayout Layout => inner.Layout;

    public ScaleType NativeScaleType => inner.NativeScaleType;

    public long StoredBytes => inner.StoredBytes;

    public IReadOnlyCollection<string> TensorNames => inner.TensorNames;

    public JsonObject HuggingFaceConfig => inner.HuggingFaceConfig;

    /// <summary>Nearest bfloat16, ties to even.</summary>
    public static void RoundToBFloat16(string name, Span<float> values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            uint bits = BitConverter.SingleToUInt32Bits(values[i]);
            values[i] = BitConverter.UInt32BitsToSingle((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000);
        }
    }

    /// <summary>Four bits of the significand, the rest cut off: another model, of whatever type the tensors are.</summary>
    public static void CutToFourBits(string name, Span<float> values)
    {
        for (int i = 0; i < values.Length; i++) values[i] = BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(values[i]) & 0xFFF80000);
    }

    /// <summary>Four bits, one asymmetric grid a row, as the reference of the divergences was made; all but the linear layers stay.</summary>
    public static void RoundRowsToFourBits(string name, Span<float> values, int columns)
    {
        if (!name.EndsWith("_proj.weight", StringComparison.Ordinal)) return;
        for (int start = 0; start < values.Length; start += columns)
        {
            Span<float> row = values.Slice(start, columns);
            (float scale, float zero) = RowGrid(row);
            for (int i = 0; i < row.Length; i++) row[i] = (Math.Clamp(MathF.Round(row[i] / scale) + zero, 0, 15) - zero) * scale;
        }
    }

    public static (float Scale, float Zero) RowGrid(ReadOnlySpan<float> row)
    {
        float low = 0, high = 0;
        foreach (float value in row) (low, high) = (Math.Min(low, value), Math.Max(high, value));
        float scale = (high - low) / 15;
        return (scale, MathF.Round(-low / scale));
    }

    public bool Contains(string name) => inner.Contains(name);

    public IReadOnlyList<int> ShapeOf(string name) => inner.ShapeOf(name);

    public virtual void Read(string name, Span<float> destination)
    {
        inner.Read(name, destination);
        alter(name, destination);
    }

    public virtual QuantizedWeight? ReadQuantized(string name) => null;

    public long StoredBitsOf(string name) => inner.StoredBitsOf(name);

    public void AppendContentHash(IncrementalHash hash) => inner.AppendContentHash(hash);

    public ITokenizer LoadTokenizer() => inner.LoadTokenizer();

    public string? ReadChatTemplate() => inner.ReadChatTemplate();

    public void CopySideFiles(string folder) => inner.CopySideFiles(folder);

    public PendingTensor Store(string name, SafetensorsType type) => throw new NotSupportedException("For reading alone.");

    public void Dispose()
    {
        inner.Dispose();
        GC.SuppressFinalize(this);
    }
}
