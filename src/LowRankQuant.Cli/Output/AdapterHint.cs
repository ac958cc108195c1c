using LowRankQuant.Models;

namespace LowRankQuant.Cli.Output;

/// <summary>
/// How a compressed-tensors folder is loaded together with the PEFT adapter in it. Since transformers 5 its layers stay packed until the first forward
/// pass, and peft asks for their weights: the two lines that everybody writes first fail.
/// </summary>
internal static class AdapterHint
{
    /// <summary>The lines to print; null for a folder that has no such adapter.</summary>
    /// <param name="folder">What was written.</param>
    public static string? Of(string folder)
    {
        string config = Path.Combine(folder, "config.json"), adapter = Path.Combine(folder, CheckpointOpener.AdapterFolder, "adapter_config.json");
        if (!File.Exists(adapter) || !File.Exists(config) || !File.ReadAllText(config).Contains("\"compressed-tensors\"", StringComparison.Ordinal)) return null;
        return $"""
            To load both in Python (transformers and peft; the forward pass unpacks the layers, which peft needs):
              base = AutoModelForCausalLM.from_pretrained("{folder}")
              base(torch.tensor([[1, 2]]))
              model = PeftModel.from_pretrained(base, "{folder}/{CheckpointOpener.AdapterFolder}")
            """.ReplaceLineEndings("\n");
    }
}
