using System.Runtime.InteropServices;
using System.Text.Json;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Gguf.Grids;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Tests.Formats;

/// <summary>The reference's mappings of grids into blocks: codes, scales and zero points beside the bytes that ggml reads as their values.</summary>
internal static class GgufMappings
{
    /// <summary>Names of the mappings of integer grids.</summary>
    public static string[] IntegerGrids { get; } =
    [
        "int4-sym-g32", "int4-sym-g128", "int4-sym-row", "int5-sym-g32", "int8-sym-row", "int2-sym-g64", "int4-asym-g32", "int4-asym-g256",
        "int4-asym-row", "int3-asym-row", "int2-asym-row", "int3-sym-row", "int5-asym-row", "int6-sym-row", "int3-sym-two-level", "int6-sym-two-level",
    ];

    /// <summary>The blocks that the encoder makes of a weight.</summary>
    public static byte[] Encode(QuantizedWeight weight, GgmlType type)
    {
        GgufBlockEncoder encoder = GgufBlockEncoder.For(weight, type);
        byte[] blocks = new byte[weight.OutFeatures * encoder.RowBytes];
        for (int row = 0; row < weight.OutFeatures; row++) encoder.EncodeRow(row, blocks.AsSpan(row * encoder.RowBytes, encoder.RowBytes));
        return blocks;
    }

    /// <summary>The weight of a mapping on an integer grid, and the type it belongs in.</summary>
    public static (QuantizedWeight Weight, GgmlType Type) Read(string name)
    {
        JsonElement mapping = All().Single(mapping => mapping.GetProperty("name").GetString() == name);
        int bits = mapping.GetProperty("bits").GetInt32(), groupSize = mapping.GetProperty("groupSize").GetInt32();
        int rows = mapping.GetProperty("shape")[0].GetInt32(), columns = mapping.GetProperty("shape")[1].GetInt32();
        bool zeros = mapping.GetProperty("zeros").GetBoolean();
        byte[] codes = Bytes(name, "codes.i8");
        if (!zeros)
        {
            for (int i = 0; i < codes.Length; i++) codes[i] = (byte)((sbyte)codes[i] + (1 << (bits - 1)));
        }
        Half[] halves = MemoryMarshal.Cast<byte, Half>(Bytes(name, "scales.f16")).ToArray();
        GgmlType type = Enum.Parse<GgmlType>(mapping.GetProperty("type").GetString()!);
        if (mapping.TryGetProperty("sub", out _))
        {
            TwoLevelGrid native = TwoLevelGrid.Find(type.ToString())!;
            sbyte[] integers = MemoryMarshal.Cast<byte, sbyte>(Bytes(name, bits == 3 ? "sub.u8" : "sub.i8")).ToArray();
            return (new TwoLevelWeight(rows, columns, native, codes, new TwoLevelScales(halves, integers, null, null)), type);
        }
        var grid = new UniformGrid(bits, !zeros, groupSize == columns ? Granularity.Channel : Granularity.Group, groupSize == columns ? 0 : groupSize);
        float[] scales = [.. halves.Select(half => (float)half)];
        return (new UniformWeight(rows, columns, grid, codes, scales, zeros ? Bytes(name, "zeros.u8") : null, ScaleType.Float16), type);
    }

    /// <summary>The weight of a mapping with float minima.</summary>
    public static AffineWeight ReadMinima(string name)
    {
        JsonElement mapping = All().Single(mapping => mapping.GetProperty("name").GetString() == name);
        float[] Halves(string part) => [.. MemoryMarshal.Cast<byte, Half>(Bytes(name, part)).ToArray().Select(half => (float)half)];
        return new AffineWeight(
            mapping.GetProperty("shape")[0].GetInt32(), mapping.GetProperty("shape")[1].GetInt32(), new AffineGrid(mapping.GetProperty("bits").GetInt32(), 32), Bytes(name, "codes.i8"),
            Halves("scales.f16"), Halves("mins.f16"), ScaleType.Float16);
    }

    /// <summary>A file of a mapping.</summary>
    public static byte[] Bytes(string name, string part) => File.ReadAllBytes(TestData.Path("golden", "gguf", "mappings", $"{name}.{part}"));

    /// <summary>What the reference says of every mapping.</summary>
    public static JsonElement[] All()
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(TestData.Path("golden", "gguf", "blocks.json")));
        return [.. document.RootElement.Clone().GetProperty("mappings").EnumerateArray()];
    }
}
