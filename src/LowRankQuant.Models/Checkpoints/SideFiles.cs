namespace LowRankQuant.Models.Checkpoints;

/// <summary>The files beside a model's tensors that a result needs too: tokenizer, chat template, generation settings, licence, model card.</summary>
internal static class SideFiles
{
    // Tokenizers of large vocabularies have some 35 MB.
    private const long Largest = 256 << 20;

    private static readonly string[] Names =
    [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "chat_template.jinja", "chat_template.json", "generation_config.json", "preprocessor_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md",
        "NOTICE", "USE_POLICY.md",
    ];

    /// <summary>Copies those that exist.</summary>
    public static void Copy(string from, string to)
    {
        foreach (string name in Names)
        {
            var source = new FileInfo(Path.Combine(from, name));
            if (!source.Exists) continue;
            if (source.Length > Largest) throw new CheckpointException($"{source.FullName} has {source.Length} bytes; a side file of a model has at most {Largest}.");
            string aside = Path.Combine(to, name + ".tmp");
            File.Copy(source.FullName, aside, overwrite: true);
            // A read-only source must not make the result unchangeable.
            File.SetAttributes(aside, FileAttributes.Normal);
            File.Move(aside, Path.Combine(to, name), overwrite: true);
        }
    }
}
