using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Formats.Peft;

/// <summary>
/// Writes low-rank branches as a PEFT LoRA folder, W' = W + B A: alpha is the rank everywhere, so every factor is 1. Tensors are
/// <c>base_model.model.MODULE.lora_A.weight</c> [r, in] and <c>lora_B.weight</c> [out, r]. adapter_config.json comes last.
/// </summary>
public static class PeftAdapterWriter
{
    /// <summary>The tensors of an adapter folder.</summary>
    public const string TensorFile = "adapter_model.safetensors";

    /// <summary>The configuration of an adapter folder.</summary>
    public const string ConfigFile = "adapter_config.json";

    /// <summary>Key in the configuration, unknown to PEFT, under which the bits of an element of a factor stand.</summary>
    public const string FactorBitsKey = "lrq_factor_bits";

    /// <summary>Writes a folder.</summary>
    /// <param name="folder">Destination; made when absent.</param>
    /// <param name="modules">All modules with a linear weight, in model order; those of rank 0 too.</param>
    /// <param name="type">F16 or F32; nothing may be lost by it.</param>
    /// <param name="form">Own ranks, or one.</param>
    /// <param name="baseModel">What <c>base_model_name_or_path</c> says.</param>
    /// <param name="factorBits">Bits of an element for the accounting: narrower than the type where elements are codes times a scale.</param>
    /// <param name="paddedRank">The one rank of a padded adapter; null for the largest there is.</param>
    /// <exception cref="ArgumentException">No module has a branch, or one has more than the rank to pad to.</exception>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static void Write(
        string folder, IReadOnlyList<AdapterModule> modules, SafetensorsType type, AdapterForm form, string baseModel, int factorBits,
        int? paddedRank = null)
    {
        int largest = modules.Count == 0 ? 0 : modules.Max(module => module.Rank);
        if (largest == 0) throw new ArgumentException("No module has a branch; there is no adapter to write.", nameof(modules));
        if (paddedRank < largest) throw new ArgumentException($"A branch of rank {largest} does not fit rank {paddedRank}.", nameof(paddedRank));
        if (form == AdapterForm.Padded) largest = paddedRank ?? largest;
        AdapterModule[] written = [.. modules.Where(module => form == AdapterForm.Padded || module.Rank > 0)];
        var tensors = new List<PendingTensor>();
        foreach (AdapterModule module in written)
        {
            int rank = form == AdapterForm.Padded ? largest : module.Rank;
            string name = $"base_model.model.{module.Module}";
            tensors.Add(new PendingTensor($"{name}.lora_A.weight", type, [rank, module.InFeatures], sink => sink.WriteSingles(
                Pad(module.Rank == 0 ? [] : module.LoadA(), module.Rank, module.InFeatures, rank, module.InFeatures))));
            tensors.Add(new PendingTensor($"{name}.lora_B.weight", type, [module.OutFeatures, rank], sink => sink.WriteSingles(
                Pad(module.Rank == 0 ? [] : module.LoadB(), module.OutFeatures, module.Rank, module.OutFeatures, rank))));
        }
        Directory.CreateDirectory(folder);
        string config = Path.Combine(folder, ConfigFile);
        File.Delete(config);
        SafetensorsWriter.Write(Path.Combine(folder, TensorFile), PendingTensor.ReferenceOrder(tensors));
        byte[] text = Encoding.UTF8.GetBytes(Config(written, form, largest, baseModel, factorBits).ToJsonString(new() { WriteIndented = true, NewLine = "\n" }) + "\n");
        AtomicFile.Write(config, stream => stream.Write(text));
    }

    private static JsonObject Config(AdapterModule[] modules, AdapterForm form, int largest, string baseModel, int factorBits)
    {
        JsonObject ranks = [], alphas = [];
        if (form == AdapterForm.Pattern)
        {
            foreach (AdapterModule module in modules.Where(module => module.Rank != largest))
            {
                ranks[module.Module] = module.Rank;
                alphas[module.Module] = module.Rank;
            }
        }
        return new JsonObject
        {
            ["peft_type"] = "LORA",
            ["task_type"] = "CAUSAL_LM",
            ["base_model_name_or_path"] = baseModel,
            ["inference_mode"] = true,
            ["r"] = largest,
            ["lora_alpha"] = largest,
            ["lora_dropout"] = 0.0,
            ["bias"] = "none",
            ["fan_in_fan_out"] = false,
            ["use_rslora"] = false,
            ["use_dora"] = false,
            ["target_modules"] = new JsonArray([.. modules.Select(module => (JsonNode)module.Module)]),
            ["rank_pattern"] = ranks,
            ["alpha_pattern"] = alphas,
            [FactorBitsKey] = factorBits,
        };
    }

    private static float[] Pad(float[] values, int rows, int columns, int paddedRows, int paddedColumns)
    {
        if (rows == paddedRows && columns == paddedColumns) return values;
        var padded = new float[paddedRows * paddedColumns];
        for (int row = 0; row < rows; row++) values.AsSpan(row * columns, columns).CopyTo(padded.AsSpan(row * paddedColumns));
        return padded;
    }
}
