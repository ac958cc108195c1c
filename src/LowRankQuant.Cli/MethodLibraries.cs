using System.Reflection;
using System.Runtime.Loader;
using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Cli;

/// <summary>
/// Methods of other people's libraries, named by an environment variable as the search path names folders: <c>LRQ_METHODS=my/Methods.dll</c>. Every public class
/// that is a <see cref="QuantizationMethod"/> and can be made without arguments joins the catalog. Code is loaded from nowhere else.
/// </summary>
internal static class MethodLibraries
{
    /// <summary>The variable.</summary>
    public const string Variable = "LRQ_METHODS";

    /// <summary>The catalog with the methods of all libraries that the variable names.</summary>
    /// <param name="own">The methods of this version.</param>
    /// <exception cref="RequestException">A library cannot be loaded, holds no method, or has one under a name that is taken.</exception>
    public static MethodCatalog Join(MethodCatalog own)
    {
        string[] files = (Environment.GetEnvironmentVariable(Variable) ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return files.Length == 0 ? own : Join(own, files);
    }

    /// <summary>The catalog with the methods of libraries.</summary>
    public static MethodCatalog Join(MethodCatalog own, IReadOnlyList<string> files)
    {
        try
        {
            return own.With(files.SelectMany(Methods));
        }
        catch (ArgumentException failure)
        {
            throw new RequestException([$"{Variable}: {failure.Message}"]);
        }
    }

    private static IReadOnlyList<QuantizationMethod> Methods(string file)
    {
        try
        {
            Assembly library = AssemblyLoadContext.Default.LoadFromAssemblyPath(Path.GetFullPath(file));
            QuantizationMethod[] methods =
            [
                .. library.GetExportedTypes().Where(type => type.IsSubclassOf(typeof(QuantizationMethod)) && !type.IsAbstract && type.GetConstructor([]) is not null)
                    .OrderBy(type => type.FullName, StringComparer.Ordinal).Select(type => (QuantizationMethod)Activator.CreateInstance(type)!),
            ];
            return methods.Length > 0 ? methods : throw new RequestException([$"{Variable}: {file} holds no public {nameof(QuantizationMethod)} that can be made without arguments."]);
        }
        catch (Exception failure) when (failure is IOException or BadImageFormatException or TypeLoadException or ReflectionTypeLoadException)
        {
            throw new RequestException([$"{Variable}: {file} cannot be loaded: {failure.Message}"]);
        }
    }
}
