using System.Text.RegularExpressions;
using Mono.Cecil;
using Mono.Cecil.Cil;

namespace LowRankQuant.Tests.Project;

/// <summary>Libraries name what can be set by keys of recipes (<c>`group_size`</c>); only the command line speaks of options, since libraries have other callers too.</summary>
public partial class LibraryTextTests
{
    /// <summary>Options of other programs, by a piece of the text that they stand in.</summary>
    private static readonly string[] Others =
    [
        // llama-quantize of llama.cpp.
        "llama-quantize --allow-requantize",
    ];

    [Fact]
    public void LibrariesNameNoOptions()
    {
        string[] libraries =
        [
            .. Directory.EnumerateFiles(AppContext.BaseDirectory, "LowRankQuant.*.dll")
                .Where(file => !Path.GetFileName(file).StartsWith("LowRankQuant.Tests", StringComparison.Ordinal)),
        ];
        Assert.Contains(libraries, file => Path.GetFileName(file) == "LowRankQuant.Models.dll");
        string[] named = [.. libraries.SelectMany(Texts).Where(text => Option().IsMatch(text.Text)).Select(text => $"{text.Owner}: {text.Text}")];
        Assert.DoesNotContain(named, text => !Array.Exists(Others, text.Contains));
        // Neither the search nor the list is stale.
        Assert.All(Others, other => Assert.Contains(named, text => text.Contains(other, StringComparison.Ordinal)));
    }

    /// <summary>Every text that compiled code loads or holds as a constant, with its type.</summary>
    private static IEnumerable<(string Owner, string Text)> Texts(string file)
    {
        using var module = ModuleDefinition.ReadModule(file);
        foreach (TypeDefinition type in module.GetTypes())
        {
            IEnumerable<object?> loaded = type.Methods.Where(method => method.HasBody).SelectMany(method => method.Body.Instructions)
                .Where(instruction => instruction.OpCode == OpCodes.Ldstr).Select(instruction => instruction.Operand);
            foreach (string text in loaded.Concat(type.Fields.Select(field => field.Constant)).OfType<string>()) yield return (type.FullName, text);
        }
    }

    [GeneratedRegex("(?<![-\\w])--[a-z]")]
    private static partial Regex Option();
}
