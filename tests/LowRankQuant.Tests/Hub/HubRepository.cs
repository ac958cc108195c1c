using System.Security.Cryptography;
using System.Text;

namespace LowRankQuant.Tests.Hub;

/// <summary>A repository that the server of the tests has.</summary>
internal sealed class HubRepository
{
    public const string Commit = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Earlier = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    /// <summary>Commits by branch or tag.</summary>
    public Dictionary<string, string> Revisions { get; } = new() { ["main"] = Commit, ["v1"] = Earlier, ["refs/pr/1"] = Earlier };

    /// <summary>Files of every commit.</summary>
    public SortedDictionary<string, byte[]> Files { get; } = new(StringComparer.Ordinal);

    /// <summary>The token that opens it; null where it is open to all.</summary>
    public string? Token { get; init; }

    public static HubRepository OfFolder(string folder, string? token = null)
    {
        var repository = new HubRepository { Token = token };
        foreach (string file in Directory.EnumerateFiles(folder)) repository.Files[Path.GetFileName(file)] = File.ReadAllBytes(file);
        return repository;
    }

    /// <summary>A model of a few bytes, which nobody can open.</summary>
    public static HubRepository Small(int weights = 100_000)
    {
        var repository = new HubRepository();
        repository.Files["config.json"] = Encoding.UTF8.GetBytes("{\"model_type\": \"llama\"}");
        repository.Files["tokenizer.json"] = Encoding.UTF8.GetBytes("{}");
        repository.Files["model.safetensors"] = Bytes(weights, 1);
        repository.Files["pytorch_model.bin"] = Bytes(100, 2);
        return repository;
    }

    public static byte[] Bytes(int count, int seed)
    {
        var bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public string? CommitOf(string revision) => Revisions.GetValueOrDefault(revision) ?? (Revisions.ContainsValue(revision) ? revision : null);

    public static bool IsLarge(string path) => Path.GetExtension(path) is ".safetensors" or ".gguf" or ".parquet" or ".bin";

    public static string Sha256(byte[] content) => Convert.ToHexStringLower(SHA256.HashData(content));

    /// <summary>Git's name of a blob.</summary>
#pragma warning disable CA5350 // As git has it.
    public static string GitSha1(byte[] content) => Convert.ToHexStringLower(SHA1.HashData([.. Encoding.ASCII.GetBytes($"blob {content.Length}\0"), .. content]));
#pragma warning restore CA5350

    public static string ETag(string path, byte[] content) => IsLarge(path) ? Sha256(content) : GitSha1(content);
}
