using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>The header of a safetensors file, and the tensors that it announces.</summary>
internal sealed class SafetensorsTarget : FuzzTarget
{
    public override string Name => "safetensors";

    protected override void Read(byte[] input, Scratch scratch)
    {
        using SafetensorsFile file = SafetensorsFile.Open(scratch.Write("model.safetensors", input));
        foreach (TensorEntry entry in file.Tensors.Values)
        {
            long elements = entry.Shape.Aggregate(1L, (product, size) => product * size);
            if (elements is 0 or > 1 << 16) continue;
            Each(() => file.ReadSingles(entry.Name, new float[elements]), () => file.GetBytes(entry.Name, 0, (int)entry.ByteLength));
        }
    }
}
