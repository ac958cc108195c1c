using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// Names of tensors as savers vary them, and the standard names that they mean: what compilers and trainers put around modules is left out, the text model
/// of a multimodal one stands where it stands alone, and the names of a base model without its head get their prefix.
/// </summary>
internal static class StandardNames
{
    // Around any module: torch.compile, FSDP, activation checkpointing, DeepSpeed.
    private static readonly string[] Wrappers = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"];

    // Around the whole model, the longest first where one begins another.
    private static readonly (string From, string To)[] Prefixes =
    [
        ("module.", ""), ("base_model.model.", ""),
        ("model.language_model.model.", "model."), ("model.language_model.lm_head.", "lm_head."), ("model.language_model.", "model."),
        ("language_model.model.", "model."), ("language_model.lm_head.", "lm_head."), ("language_model.", "model."),
        ("model.model.", "model."), ("model.lm_head.", "lm_head."),
    ];

    /// <summary>The standard name of a tensor.</summary>
    /// <param name="stored">Its name in the file.</param>
    /// <param name="architecture">The architecture, for what its names begin with.</param>
    public static string Of(string stored, Architecture architecture)
    {
        string name = stored;
        foreach (string wrapper in Wrappers)
        {
            if (name.Contains(wrapper, StringComparison.Ordinal)) name = string.Join('.', name.Split('.').Where(part => part != wrapper));
        }
        for (bool found = true; found;)
        {
            found = false;
            foreach ((string from, string to) in architecture.Prefixes.Concat(Prefixes))
            {
                if (!name.StartsWith(from, StringComparison.Ordinal)) continue;
                name = to + name[from.Length..];
                found = true;
                break;
            }
        }
        int dot = name.IndexOf('.');
        return dot > 0 && architecture.BaseNames.Contains(name[..dot]) ? architecture.Base + name : name;
    }
}
