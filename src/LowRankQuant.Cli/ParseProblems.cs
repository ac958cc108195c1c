using System.CommandLine;
using System.CommandLine.Parsing;
using LowRankQuant.Formats;

namespace LowRankQuant.Cli;

/// <summary>What is wrong about a command line that cannot be parsed, with what was meant where that can be guessed.</summary>
internal static class ParseProblems
{
    /// <summary>The problems, each once.</summary>
    public static IReadOnlyList<string> Of(ParseResult parsed)
    {
        var problems = new List<string>();
        Command command = parsed.CommandResult.Command;
        if (command is RootCommand && parsed.UnmatchedTokens is [var word, ..] && !IsOption(word)) return [UnknownCommand(word, command)];
        bool value = false;
        foreach (string token in parsed.UnmatchedTokens)
        {
            bool option = IsOption(token);
            // What follows an unknown option is its value.
            if (option) problems.Add(UnknownOption(token, command));
            else if (SwitchBefore(token, parsed) is { } given) problems.Add($"{given} {token}: must be true or false.");
            else if (!value) problems.Add($"'{token}' is too much: {Usage(command)}.");
            value = option && !token.Contains('=', StringComparison.Ordinal);
        }
        foreach (ParseError error in parsed.Errors)
        {
            if (Describe(error, command, parsed.UnmatchedTokens.Count > 0) is { } problem && !problems.Contains(problem)) problems.Add(problem);
        }
        problems.AddRange(EmptyValues(parsed));
        return problems;
    }

    /// <summary>Whether a value is empty or blank: what a script makes of a variable that is not set, and never what is meant.</summary>
    public static bool HasEmptyValue(ParseResult parsed) => EmptyValues(parsed).Any();

    private static IEnumerable<string> EmptyValues(ParseResult parsed)
    {
        foreach (SymbolResult child in parsed.CommandResult.Children)
        {
            if (!child.Tokens.Any(token => string.IsNullOrWhiteSpace(token.Value))) continue;
            if (child is OptionResult { Option: var option }) yield return $"{option.Name}: the value is empty; give one{(option.HelpName is { } form ? $" ({form})" : "")} or leave the option out.";
            else if (child is ArgumentResult { Argument: var argument }) yield return $"{argument.Name} is empty: {Usage(parsed.CommandResult.Command)}.";
        }
    }

    /// <summary>A word where a command should be.</summary>
    public static string UnknownCommand(string word, Command root)
    {
        string[] names = [.. root.Subcommands.Select(command => command.Name)];
        return $"'{word}' is no command of lrq. {Meant(word, names)}The commands are {string.Join(", ", names)}.";
    }

    private static string UnknownOption(string token, Command command)
    {
        string name = token.Split('=')[0];
        string[] known = [.. command.Options.Concat(command is RootCommand ? [] : command.Parents.OfType<Command>().SelectMany(parent => parent.Options.Where(option => option.Recursive))).Select(option => option.Name)];
        return $"{name} is no option of {Called(command)}. {Meant(name, known)}".TrimEnd();
    }

    private static string? Describe(ParseError error, Command command, bool unmatched)
    {
        switch (error.SymbolResult)
        {
            case ArgumentResult { Parent: OptionResult parent }:
                return Option(parent, error.Message);
            case OptionResult result:
                return Option(result, error.Message);
            case ArgumentResult { Tokens: [], Argument: var argument }:
                return $"{argument.Name} is missing: {Usage(command)}.";
            case CommandResult when unmatched:
                return null;
            case CommandResult { Command: RootCommand root }:
                return $"a command is missing; there are {string.Join(", ", root.Subcommands.Select(sub => sub.Name))}.";
            default:
                return error.Message;
        }
    }

    private static string Option(OptionResult result, string message)
    {
        Option option = result.Option;
        if (result.IdentifierTokenCount > 1 && option.Arity.MaximumNumberOfValues <= 1) return $"{option.Name} is given {result.IdentifierTokenCount} times; give it once.";
        if (result.Tokens.Count == 0) return $"{option.Name}: the value is missing{(option.HelpName is { } form ? $" ({form})" : "")}.";
        return option.ValueType == typeof(bool) || option.ValueType == typeof(bool?) ? $"{option.Name} {result.Tokens[0].Value}: must be true or false." : message;
    }

    /// <summary>The option without a value, or with true or false, in front of a word that is neither.</summary>
    private static string? SwitchBefore(string token, ParseResult parsed)
    {
        for (int i = 1; i < parsed.Tokens.Count; i++)
        {
            if (parsed.Tokens[i].Value != token || parsed.Tokens[i - 1].Type != TokenType.Option) continue;
            string name = parsed.Tokens[i - 1].Value;
            Option? option = parsed.CommandResult.Command.Options.FirstOrDefault(known => known.Name == name);
            if (option is not null && (option.ValueType == typeof(bool) || option.ValueType == typeof(bool?))) return name;
        }
        return null;
    }

    private static bool IsOption(string token) => token.Length > 1 && token[0] == '-' && !char.IsAsciiDigit(token[1]);

    private static string Called(Command command) => command is RootCommand ? "lrq" : $"lrq {command.Name}";

    private static string Usage(Command command) => command.Arguments.Count == 0 ? $"{Called(command)} takes none" : $"{Called(command)} takes {string.Join(" and ", command.Arguments.Select(argument => $"one {argument.Name}"))}";

    private static string Meant(string word, IReadOnlyList<string> known)
    {
        string bare = word.TrimStart('-').ToLowerInvariant();
        string? nearest = known
            .Select(name => (Name: name, Distance: EditDistance.Between(bare, name.TrimStart('-'))))
            .Where(pair => pair.Distance <= Math.Max(1, bare.Length / 3) || (bare.Length >= 3 && (pair.Name.TrimStart('-').StartsWith(bare, StringComparison.Ordinal) || bare.StartsWith(pair.Name.TrimStart('-'), StringComparison.Ordinal))))
            .OrderBy(pair => pair.Distance).ThenBy(pair => pair.Name, StringComparer.Ordinal)
            .Select(pair => pair.Name).FirstOrDefault();
        return nearest is null ? "" : $"Did you mean {nearest}? ";
    }
}
