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

    // Around the whole model: data parallel training, PEFT.
    private static readonly string[] Outer = ["module.", "base_model.model."];

    // Around the text model of a multimodal one, the longest first where one begins another, and around a model with its head.
    private static readonly string[] Nested = ["model.language_model.", "language_model."];
    private const string Headed = "model.";

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
        name = Replaced(name, [.. architecture.Prefixes, .. Outer.Select(prefix => (prefix, "")), .. Prefixes(architecture)]);
        int dot = name.IndexOf('.');
        return dot > 0 && architecture.BaseNames.Contains(name[..dot]) ? architecture.Base + name : name;
    }

    /// <summary>A stored name without what compilers and trainers put around modules: as the model's own files have it.</summary>
    public static string Unwrapped(string stored) =>
        Replaced(string.Join('.', stored.Split('.').Where(part => !Wrappers.Contains(part))), [.. Outer.Select(prefix => (prefix, ""))]);

    private static IEnumerable<(string From, string To)> Prefixes(Architecture architecture)
    {
        string head = architecture.HeadName[..(architecture.HeadName.IndexOf('.') + 1)];
        foreach (string prefix in Nested)
        {
            yield return (prefix + Headed, Headed);
            yield return (prefix + head, head);
            yield return (prefix, Headed);
        }
        yield return (Headed + Headed, Headed);
        yield return (Headed + head, head);
    }

    private static string Replaced(string name, (string From, string To)[] prefixes)
    {
        while (Array.Find(prefixes, prefix => name.StartsWith(prefix.From, StringComparison.Ordinal)) is { From: not null } found)
            name = found.To + name[found.From.Length..];
        return name;
    }
}
