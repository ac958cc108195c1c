using LowRankQuant.Formats;
using LowRankQuant.Models.ChatTemplates;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>The files beside a model's tensors that a result needs too: tokenizer, chat template, generation settings, licence, model card.</summary>
internal static class SideFiles
{
    // Tokenizers of large vocabularies have some 35 MB.
    private const long Largest = 256 << 20;

    private static readonly string[] Names =
    [
        "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
        "chat_template.jinja", "chat_template.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
        "video_preprocessor_config.json", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE", "USE_POLICY.md",
    ];

    /// <summary>Copies those that exist.</summary>
    /// <param name="from">Folder of the model.</param>
    /// <param name="to">A folder that is moved to its place when it is complete.</param>
    /// <exception cref="IOException">The disk is full, or a file cannot be read or written.</exception>
    public static void Copy(string from, string to)
    {
        foreach (string name in Names) CopyFile(from, to, name);
        string templates = Path.Combine(from, ChatTemplateFile.AdditionalFolder);
        if (!Directory.Exists(templates)) return;
        string target = Directory.CreateDirectory(Path.Combine(to, ChatTemplateFile.AdditionalFolder)).FullName;
        foreach (KeyValuePair<string, string> template in ChatTemplateFile.Additional(from)) File.WriteAllText(Path.Combine(target, template.Key + ChatTemplateFile.Extension), template.Value);
    }

    /// <summary>Copies Python files beside the configuration. Nothing here runs them.</summary>
    /// <inheritdoc cref="Copy"/>
    public static void CopyCode(string from, string to)
    {
        foreach (string file in Directory.GetFiles(from, "*.py").Order(StringComparer.Ordinal)) CopyFile(from, to, Path.GetFileName(file));
    }

    private static void CopyFile(string from, string to, string name)
    {
        var source = new FileInfo(Path.Combine(from, name));
        if (!source.Exists) return;
        long length = FileLength.Of(source.FullName);
        if (length > Largest) throw new CheckpointException($"{source.FullName} has {length} bytes; a side file of a model has at most {Largest}.");
        // As streams, whose errors name the file, and without the source's attributes: a read-only one must not make the result unchangeable.
        using FileStream bytes = source.OpenRead();
        using var copy = new FileStream(Path.Combine(to, name), FileMode.Create, FileAccess.Write, FileShare.None);
        bytes.CopyTo(copy);
        copy.Flush(flushToDisk: true);
    }
}
