using System.Text;

namespace LowRankQuant.Tests.Formats;

/// <summary>Writes small GGUF files for tests, valid or not.</summary>
internal sealed class GgufBuilder
{
    private readonly List<byte> _keys = [];
    private readonly List<byte> _tensors = [];
    private readonly List<byte> _data = [];
    private int _keyCount;
    private int _tensorCount;

    public GgufBuilder Key(string key, uint type, byte[] value)
    {
        String(_keys, key);
        _keys.AddRange(BitConverter.GetBytes(type));
        _keys.AddRange(value);
        _keyCount++;
        return this;
    }

    public GgufBuilder Tensor(string name, uint type, long[] dimensions, byte[] data)
    {
        String(_tensors, name);
        _tensors.AddRange(BitConverter.GetBytes(dimensions.Length));
        foreach (long dimension in dimensions) _tensors.AddRange(BitConverter.GetBytes(dimension));
        _tensors.AddRange(BitConverter.GetBytes(type));
        _tensors.AddRange(BitConverter.GetBytes((long)_data.Count));
        _data.AddRange(data);
        Pad(_data);
        _tensorCount++;
        return this;
    }

    public byte[] Build()
    {
        List<byte> file = [];
        file.AddRange("GGUF"u8);
        file.AddRange(BitConverter.GetBytes(3));
        file.AddRange(BitConverter.GetBytes((long)_tensorCount));
        file.AddRange(BitConverter.GetBytes((long)_keyCount));
        file.AddRange(_keys);
        file.AddRange(_tensors);
        Pad(file);
        file.AddRange(_data);
        return [.. file];
    }

    private static void String(List<byte> stream, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        stream.AddRange(BitConverter.GetBytes((long)bytes.Length));
        stream.AddRange(bytes);
    }

    private static void Pad(List<byte> stream)
    {
        while (stream.Count % 32 != 0) stream.Add(0);
    }
}
