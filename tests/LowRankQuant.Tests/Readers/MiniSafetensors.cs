using System.Runtime.InteropServices;
using System.Text.Json;

namespace LowRankQuant.Tests.Readers;

/// <summary>Reads the reference data without the code under test. Trusts its files.</summary>
internal sealed class MiniSafetensors
{
    private readonly byte[] _bytes;
    private readonly Dictionary<string, (string Type, int[] Shape, int Start, int End)> _tensors = [];

    public MiniSafetensors(string path)
    {
        _bytes = File.ReadAllBytes(path);
        int header = (int)BitConverter.ToInt64(_bytes);
        using var json = JsonDocument.Parse(_bytes.AsMemory(8, header));
        foreach (JsonProperty entry in json.RootElement.EnumerateObject())
        {
            if (entry.Name == "__metadata__") continue;
            JsonElement value = entry.Value, offsets = value.GetProperty("data_offsets");
            int[] shape = value.GetProperty("shape").EnumerateArray().Select(size => size.GetInt32()).ToArray();
            _tensors[entry.Name] = (value.GetProperty("dtype").GetString()!, shape, 8 + header + offsets[0].GetInt32(), 8 + header + offsets[1].GetInt32());
        }
    }

    public IEnumerable<string> Names => _tensors.Keys;

    public bool Contains(string name) => _tensors.ContainsKey(name);

    public int[] Shape(string name) => _tensors[name].Shape;

    public float[] Floats(string name) => [.. Doubles(name).Select(value => (float)value)];

    public double[] Doubles(string name)
    {
        (string type, _, int start, int end) = _tensors[name];
        ReadOnlySpan<byte> data = _bytes.AsSpan(start, end - start);
        return type switch
        {
            "F32" => Array.ConvertAll(MemoryMarshal.Cast<byte, float>(data).ToArray(), value => (double)value),
            "BF16" => Array.ConvertAll(MemoryMarshal.Cast<byte, ushort>(data).ToArray(), value => (double)BitConverter.Int32BitsToSingle(value << 16)),
            "F64" => MemoryMarshal.Cast<byte, double>(data).ToArray(),
            "I32" => Array.ConvertAll(MemoryMarshal.Cast<byte, int>(data).ToArray(), value => (double)value),
            "I64" => Array.ConvertAll(MemoryMarshal.Cast<byte, long>(data).ToArray(), value => (double)value),
            "I8" => Array.ConvertAll(MemoryMarshal.Cast<byte, sbyte>(data).ToArray(), value => (double)value),
            "U8" => Array.ConvertAll(data.ToArray(), value => (double)value),
            _ => throw new NotSupportedException(type),
        };
    }
}
