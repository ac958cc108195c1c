using LowRankQuant.Formats.Gguf;

namespace LowRankQuant.Tests.Containers;

/// <summary>Writes a GGUF file again with other keys and tensors.</summary>
internal static class GgufEdit
{
    /// <summary>Writes it.</summary>
    /// <param name="from">The file.</param>
    /// <param name="to">The other file.</param>
    /// <param name="keys">Values by key; null removes one.</param>
    /// <param name="drop">Tensors to leave out.</param>
    /// <param name="add">Tensors to add.</param>
    public static string Rewrite(string from, string to, (string Key, object? Value)[] keys, string[]? drop = null, PendingGgufTensor[]? add = null)
    {
        using GgufFile file = GgufFile.Open(from);
        Dictionary<string, GgufValue> metadata = new(file.Metadata.All, StringComparer.Ordinal);
        foreach ((string key, object? value) in keys)
        {
            if (value is null) metadata.Remove(key);
            else metadata[key] = GgufValue.Of(value);
        }
        HashSet<string> replaced = [.. drop ?? [], .. (add ?? []).Select(tensor => tensor.Name)];
        GgufWriter.Write(
            to, [.. metadata], [.. file.Names.Where(name => !replaced.Contains(name)).Select(name => PendingGgufTensor.Copy(file, name)), .. add ?? []],
            TestContext.Current.CancellationToken);
        return to;
    }

    /// <summary>The demo as a GGUF file.</summary>
    public static async Task<string> Demo(TemporaryFolder folder)
    {
        string path = folder.File("demo.gguf");
        EndToEnd.CliResult made = await EndToEnd.Lrq.Run("convert", TestData.Demo, "--to", "gguf", "--out", path);
        Assert.True(made.Code == 0, made.Error);
        return path;
    }
}
