using LowRankQuant.Formats.Branches;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Writes the branches of a run in the form that was asked for, and removes what another form left in the folder.</summary>
public static class AdapterOutput
{
    /// <summary>Writes the folder; nothing where no module has a branch.</summary>
    /// <param name="folder">Destination.</param>
    /// <param name="modules">All modules with a linear weight, in model order; those of rank 0 too.</param>
    /// <param name="form">The form.</param>
    /// <param name="type">Type of a PEFT folder's factors; null for the narrowest that holds all of them exactly.</param>
    /// <param name="baseModel">What a PEFT folder names as its base.</param>
    /// <param name="factorBits">Bits of an element of a factor, 8 or 16.</param>
    /// <returns>Whether a PEFT folder's factors are rounded; false for everything else.</returns>
    public static bool Write(
        string folder, IReadOnlyList<AdapterModule> modules, AdapterForm form, SafetensorsType? type, string baseModel, int factorBits)
    {
        string[] peft = [PeftAdapterWriter.ConfigFile, PeftAdapterWriter.TensorFile], codes = [BranchFile.FileName];
        if (Directory.Exists(folder))
        {
            foreach (string stale in form == AdapterForm.Codes ? peft : codes) File.Delete(Path.Combine(folder, stale));
        }
        if (modules.All(module => module.Rank == 0)) return false;
        if (form == AdapterForm.Codes)
        {
            BranchFileWriter.Write(folder, modules, factorBits);
            return false;
        }
        SafetensorsType exact = ExactType(modules);
        PeftAdapterWriter.Write(folder, modules, type ?? exact, form, baseModel, factorBits);
        return type is { } asked && asked != SafetensorsType.F32 && asked != exact;
    }

    private static SafetensorsType ExactType(IReadOnlyList<AdapterModule> modules)
    {
        SafetensorsType[] types = [.. modules.Where(module => module.Rank > 0)
            .SelectMany(module => new[] { BranchFileWriter.ExactType(module.LoadA()), BranchFileWriter.ExactType(module.LoadB()) }).Distinct()];
        return types is [var one] ? one : SafetensorsType.F32;
    }
}
