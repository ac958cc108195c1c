using System.Runtime.InteropServices;
using System.Text.Json;

namespace LowRankQuant.Tests.Readers;

/// <summary>The least that reads a trusted safetensors file: little-endian values of one type by name. Independent of the product's reader.</summary>
internal sealed class ReferenceTensors(string path)
{
    private readonly byte[] _file = File.ReadAllBytes(path);

    public T[] Read<T>(string name)
        where T : unmanaged
    {
        int headerLength = (int)BitConverter.ToInt64(_file);
        using JsonDocument header = JsonDocument.Parse(_file.AsMemory(8, headerLength));
        JsonElement offsets = header.RootElement.GetProperty(name).GetProperty("data_offsets");
        int start = offsets[0].GetInt32(), end = offsets[1].GetInt32();
        return MemoryMarshal.Cast<byte, T>(_file.AsSpan(8 + headerLength + start, end - start)).ToArray();
    }
}
