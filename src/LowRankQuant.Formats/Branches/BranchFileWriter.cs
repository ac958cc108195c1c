using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Branches;

/// <summary>Writes low-rank branches in the layout of <see cref="BranchFile"/>: nothing is rounded, a branch takes the bits that are counted for it.</summary>
public static class BranchFileWriter
{
    /// <summary>Writes a folder's file.</summary>
    /// <param name="folder">Destination; made when absent.</param>
    /// <param name="modules">Modules in model order; those of rank 0 are left out. Factors are loaded twice: for their type, and to be written.</param>
    /// <param name="factorBits">Bits of an element of a factor, 8 or 16.</param>
    /// <exception cref="ArgumentException">No module has a branch, or a factor's values are not what so many bits hold.</exception>
    /// <exception cref="IOException">The folder cannot be written; nothing is left behind.</exception>
    public static void Write(string folder, IReadOnlyList<AdapterModule> modules, int factorBits)
    {
        AdapterModule[] written = [.. modules.Where(module => module.Rank > 0)];
        if (written.Length == 0) throw new ArgumentException("No module has a branch; there is nothing to write.", nameof(modules));
        var tensors = new List<PendingTensor>();
        foreach (AdapterModule module in written)
        {
            string a = module.Module + BranchFile.EndA, b = module.Module + BranchFile.EndB;
            long[] shapeA = [module.Rank, module.InFeatures], shapeB = [module.OutFeatures, module.Rank];
            if (factorBits == 8)
            {
                tensors.AddRange(Codes(a, shapeA, module.Rank, () => FactorCodes.OfRows(module.LoadA(), module.Rank)));
                tensors.AddRange(Codes(b, shapeB, module.Rank, () => FactorCodes.OfColumns(module.LoadB(), module.Rank)));
                continue;
            }
            if (factorBits != 16) throw new ArgumentOutOfRangeException(nameof(factorBits), factorBits, "Factors have 8 or 16 bits.");
            tensors.Add(new PendingTensor(a, TypeOf(a, module.LoadA()), shapeA, sink => sink.WriteSingles(module.LoadA())));
            tensors.Add(new PendingTensor(b, TypeOf(b, module.LoadB()), shapeB, sink => sink.WriteSingles(module.LoadB())));
        }
        Directory.CreateDirectory(folder);
        SafetensorsWriter.Write(
            Path.Combine(folder, BranchFile.FileName), PendingTensor.ReferenceOrder(tensors),
            new Dictionary<string, string> { [BranchFile.VersionKey] = BranchFile.Version });
    }

    /// <summary>The narrowest of F16, BF16 and F32 that holds all values exactly.</summary>
    /// <param name="values">Values.</param>
    public static SafetensorsType ExactType(ReadOnlySpan<float> values)
    {
        bool half = true, brain = true;
        foreach (float value in values)
        {
            half &= StorageScale.RoundAny(value, ScaleType.Float16) == value;
            brain &= StorageScale.RoundAny(value, ScaleType.BFloat16) == value;
            if (!half && !brain) return SafetensorsType.F32;
        }
        return half ? SafetensorsType.F16 : SafetensorsType.BF16;
    }

    private static SafetensorsType TypeOf(string factor, float[] values) => ExactType(values) is var type && type != SafetensorsType.F32
        ? type
        : throw new ArgumentException($"{factor}: a value is no 16-bit float.");

    private static PendingTensor[] Codes(string factor, long[] shape, int rank, Func<FactorCodes?> load)
    {
        FactorCodes Load() => load() ?? throw new ArgumentException($"{factor}: a value is no 8-bit code times the scale of its vector.");
        SafetensorsType type = Load().ScaleType.ToSafetensors();
        return
        [
            new PendingTensor(factor + BranchFile.Codes, SafetensorsType.I8, shape, sink => sink.Write<sbyte>(Load().Codes)),
            new PendingTensor(factor + BranchFile.Scale, type, [rank], sink => sink.WriteSingles(Load().Scales)),
        ];
    }
}
